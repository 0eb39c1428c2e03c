import type { IncomingHttpHeaders } from 'node:http'
import { isValidEncodedURL, requestBadPort, setRequestReferrerPolicyOnRedirect } from 'undici/lib/web/fetch/util.js'
import type { KnownField } from './header-fields.ts'
import type { FetchRequest } from './request.ts'

const mostRedirects = 20

// Fetch §2.2.2, request-body-header names.
const ofTheBody: readonly KnownField[] = [
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'content-length',
]
// What belongs to one origin: secrets, and the name of the host.
const ofTheOrigin: readonly KnownField[] = ['authorization', 'proxy-authorization', 'cookie', 'host']

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

function readLocation(headers: IncomingHttpHeaders, base: URL): URL | null {
  const given = (headers as Record<string, string | string[] | undefined>).location
  if (given === undefined) return null
  const text = Array.isArray(given) ? given.join(', ') : given
  // Some servers send UTF-8 where percent-encoding belongs, and browsers understand them.
  const location = isValidEncodedURL(text) ? text : Buffer.from(text, 'latin1').toString()
  const url = new URL(location, base)
  if (url.hash === '') url.hash = base.hash
  return url
}

/**
 * Turns `request` into the one that follows a redirect (Fetch §4.4, HTTP-redirect fetch). Returns `false` where the
 * response names no place to go to, and is the answer itself.
 *
 * @throws Error that says why the redirect cannot be followed.
 */
export function followRedirect(request: FetchRequest, status: number, headers: IncomingHttpHeaders): boolean {
  const from = request.url
  const to = readLocation(headers, from)
  if (to === null) return false
  if (to.protocol !== 'http:' && to.protocol !== 'https:') throw new Error('URL scheme must be a HTTP(S) scheme')
  if (request.redirects === mostRedirects) throw new Error('redirect count exceeded')
  request.redirects++
  if (to.username !== '' || to.password !== '') refuseCredentials(request)
  if (status !== 303 && request.body !== null && !request.body.isReplayable) {
    // A stream cannot be sent a second time. The standard's network error, and so undici's, has no words.
    throw new Error()
  }

  const { method } = request
  const becomesGet =
    ((status === 301 || status === 302) && method === 'POST') ||
    (status === 303 && method !== 'GET' && method !== 'HEAD')
  if (becomesGet) {
    request.method = 'GET'
    request.body = null
    for (const name of ofTheBody) request.headers.delete(name)
  }
  const isSameOrigin = from.origin === to.origin
  if (!isSameOrigin) for (const name of ofTheOrigin) request.headers.delete(name)
  request.before = request.urls
  request.url = to
  setReferrerPolicy(request, headers)
  if (requestBadPort({ urlList: [to] }) === 'blocked') throw new Error('bad port')
  if (!isSameOrigin || to.origin !== (request.before[0] as URL).origin || request.tainting !== 'basic') taint(request)
  return true
}

function refuseCredentials(request: FetchRequest): void {
  if (request.mode === 'cors') throw new Error('cross origin not allowed for request mode "cors"')
  if (request.tainting === 'cors') throw new Error('URL cannot contain credentials for request mode "cors"')
}

function taint(request: FetchRequest): void {
  if (request.mode === 'same-origin') throw new Error('request mode cannot be "same-origin"')
  if (request.mode !== 'no-cors') {
    request.tainting = 'cors'
    return
  }
  if (request.redirect !== 'follow') throw new Error('redirect mode cannot be "follow" for "no-cors" request')
  request.tainting = 'opaque'
}

function setReferrerPolicy(request: FetchRequest, headers: IncomingHttpHeaders): void {
  const given = headers['referrer-policy']
  if (given === undefined) return
  setRequestReferrerPolicyOnRedirect(request, { headersList: { get: () => String(given) } })
}
