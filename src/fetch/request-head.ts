import {
  determineRequestsReferrer,
  environmentSettingsObject,
  isURLPotentiallyTrustworthy,
} from 'undici/lib/web/fetch/util.js'
import { field } from './header-fields.ts'
import type { FetchRequest } from './request.ts'

const defaultPolicy = 'strict-origin-when-cross-origin'

// The origins a service calls are few.
const trustworthyOrigins = new Map<string, boolean>()
const mostOrigins = 256

/** Whether what is sent there stays between the two (Secure Contexts, "potentially trustworthy"): TLS, or this machine. */
function isTrustworthy(url: URL, origin: string): boolean {
  const known = trustworthyOrigins.get(origin)
  if (known !== undefined) return known
  if (trustworthyOrigins.size >= mostOrigins) trustworthyOrigins.clear()
  const found = isURLPotentiallyTrustworthy(url)
  trustworthyOrigins.set(origin, found)
  return found
}

/**
 * The headers of one hop: the caller's, and those that fetch adds where the caller gave none (Fetch §4.5, HTTP-network-or-
 * cache fetch), in the order in which undici sends them.
 */
export function writeHead(request: FetchRequest, origin: string): Record<string, string> {
  const { headers, url, body, method, referrer } = request
  // These stay with the request through redirects.
  if (!headers.has('accept')) headers.add('accept', '*/*')
  if (!headers.has('accept-language')) headers.add('accept-language', '*')

  const head = headers.toObject()
  const known = headers.known
  if ((known & field['content-length']) === 0) {
    if (body !== null) {
      if (body.length !== null) head['content-length'] = `${body.length}`
    } else if (method === 'POST' || method === 'PUT') {
      head['content-length'] = '0'
    }
  }
  if (referrer !== 'no-referrer') writeReferrer(request, head)
  if (environmentSettingsObject.settingsObject.origin !== undefined) writeOrigin(request, head)
  if (isTrustworthy(url, origin)) replace(head, known & field['sec-fetch-mode'], 'sec-fetch-mode', request.mode)
  if ((known & field['user-agent']) === 0) head['user-agent'] = 'undici'
  writeCaching(request, head)
  if ((known & field.range) !== 0) add(head, 'accept-encoding', 'identity')
  else if ((known & field['accept-encoding']) === 0) {
    head['accept-encoding'] = url.protocol === 'https:' ? 'br, gzip, deflate, zstd' : 'gzip, deflate'
  }
  // The transport knows which host it calls.
  if ((known & field.host) !== 0) delete head[nameIn(head, 'host')]
  return head
}

/** The name as the caller wrote it. */
function nameIn(head: Record<string, string>, lower: string): string {
  return Object.keys(head).find((name) => name.toLowerCase() === lower) ?? lower
}

function add(head: Record<string, string>, lower: string, value: string): void {
  const name = nameIn(head, lower)
  head[name] = head[name] === undefined ? value : `${head[name]}, ${value}`
}

function replace(head: Record<string, string>, isThere: number, lower: string, value: string): void {
  if (isThere !== 0 && head[lower] === undefined) delete head[nameIn(head, lower)]
  head[lower] = value
}

function writeReferrer(request: FetchRequest, head: Record<string, string>): void {
  const { referrer, urls } = request
  // Without an origin of its own (undici's setGlobalOrigin) the program is no page that could be named.
  if (referrer === 'client' && environmentSettingsObject.settingsObject.origin === undefined) return
  const found = determineRequestsReferrer({
    referrer,
    referrerPolicy: request.referrerPolicy === '' ? defaultPolicy : request.referrerPolicy,
    urlList: urls,
  })
  // A referrer that was withheld once stays so for the hops that follow.
  request.referrer = found
  if (found instanceof URL) add(head, 'referer', found.href)
}

/** Fetch §3.2, "append a request `Origin` header"; only a program with an origin of its own sends one. */
function writeOrigin(request: FetchRequest, head: Record<string, string>): void {
  const { method, url, tainting } = request
  const origin = environmentSettingsObject.settingsObject.origin as string
  if (tainting === 'cors') {
    add(head, 'origin', origin)
  } else if (method !== 'GET' && method !== 'HEAD') {
    add(head, 'origin', isOriginWithheld(request.referrerPolicy || defaultPolicy, origin, url) ? 'null' : origin)
  }
}

function isOriginWithheld(policy: string, origin: string, url: URL): boolean {
  if (policy === 'no-referrer') return true
  if (policy === 'same-origin') return origin !== url.origin
  const isStrict =
    policy === 'no-referrer-when-downgrade' ||
    policy === 'strict-origin' ||
    policy === 'strict-origin-when-cross-origin'
  return isStrict && origin.startsWith('https:') && url.protocol !== 'https:'
}

function writeCaching(request: FetchRequest, head: Record<string, string>): void {
  const { headers } = request
  let { cache } = request
  if (cache === 'default' && headers.hasCondition) cache = 'no-store'
  if (cache === 'no-cache') {
    if (!headers.has('cache-control')) head['cache-control'] = 'max-age=0'
  } else if (cache === 'no-store' || cache === 'reload') {
    if (!headers.has('pragma')) head.pragma = 'no-cache'
    if (!headers.has('cache-control')) head['cache-control'] = 'no-cache'
  }
}
