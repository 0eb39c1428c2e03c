import { AsyncResource } from 'node:async_hooks'
import { type Dispatcher, Request } from 'undici'
import { getRequestDispatcher, getRequestState } from 'undici/lib/web/fetch/request.js'
import { environmentSettingsObject, requestBadPort } from 'undici/lib/web/fetch/util.js'
import type { CallOptions } from '../dispatchers/exchange.ts'
import { HeaderFields, readHeaders, steadyHeaders } from './header-fields.ts'
import { isStreamed, isTagged, type OutgoingBody, readBody, readBodyOfRequest } from './request-body.ts'

export type RedirectMode = 'follow' | 'manual' | 'error'

/** How a response may be seen, as the standard's response tainting says. */
export type Tainting = 'basic' | 'cors' | 'opaque'

// The members of RequestInit, in the order they are read. An init may be any object: also a Request, whose members are
// getters of its prototype.
const members = [
  'body',
  'cache',
  'credentials',
  'dispatcher',
  'duplex',
  'headers',
  'integrity',
  'keepalive',
  'method',
  'mode',
  'priority',
  'redirect',
  'referrer',
  'referrerPolicy',
  'signal',
  'window',
] as const

/** What was given as init, each member read once. */
export type Members = { [name in (typeof members)[number]]?: unknown }

export function readMembers(init: object | null | undefined): Members {
  const read: Members = {}
  if (init === null || init === undefined) return read
  for (const name of members) {
    const value = (init as Members)[name]
    if (value !== undefined) read[name] = value
  }
  return read
}

// Written in any case they are these; PATCH is not among them, and patch is a method of its own.
const normalMethods = new Map(
  ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'QUERY'].flatMap((method): [string, string][] => [
    [method, method],
    [method.toLowerCase(), method],
  ]),
)
const methodPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const forbiddenMethods: readonly string[] = ['CONNECT', 'TRACE', 'TRACK']

const allowed = {
  cache: ['default', 'no-store', 'reload', 'no-cache', 'force-cache', 'only-if-cached'],
  credentials: ['omit', 'same-origin', 'include'],
  duplex: ['half'],
  mode: ['same-origin', 'no-cors', 'cors'],
  priority: ['high', 'low', 'auto'],
  redirect: ['follow', 'manual', 'error'],
  referrerPolicy: [
    '',
    'no-referrer',
    'no-referrer-when-downgrade',
    'same-origin',
    'origin',
    'strict-origin',
    'origin-when-cross-origin',
    'strict-origin-when-cross-origin',
    'unsafe-url',
  ],
} as const

const enumerated = Object.keys(allowed) as (keyof typeof allowed)[]

/** The method as it is sent; `null` where it is none or a forbidden one. */
function normalMethod(given: unknown): string | null {
  const known = normalMethods.get(given as string)
  if (known !== undefined) return known
  const method = String(given)
  if (!methodPattern.test(method)) return null
  const upper = method.toUpperCase()
  if (forbiddenMethods.includes(upper)) return null
  return normalMethods.get(upper) ?? method
}

/** A call of fetch, understood. Redirects change it on the way. */
export class FetchRequest {
  url: URL
  /** The URLs before the current one; `null` without redirects. */
  before: URL[] | null = null
  method = 'GET'
  readonly headers = new HeaderFields()
  body: OutgoingBody | null = null
  redirect: RedirectMode = 'follow'
  redirects = 0
  tainting: Tainting = 'basic'
  mode = 'cors'
  cache = 'default'
  referrer: string | URL = 'client'
  referrerPolicy = ''
  signal: AbortSignal | null = null
  /** The Request whose signal it is. That of Node's own follows the caller's only while the Request lives. */
  signalOwner: object | null = null
  /** The dispatcher that a Request was made with. */
  dispatcher: Dispatcher | undefined = undefined
  resilience: CallOptions | undefined = undefined
  /** Where fetch was called. */
  readonly context = new AsyncResource('roundtripper.fetch')

  constructor(url: URL) {
    this.url = url
  }

  /** All URLs so far. */
  get urls(): URL[] {
    return this.before === null ? [this.url] : [...this.before, this.url]
  }
}

/**
 * Reads the arguments of fetch; returns `null` for what is undici's to answer: a URL that is not fetched over HTTP,
 * `integrity`, and whatever ends in an error before anything is sent. Nothing has been read from a body then.
 */
export function readRequest(input: unknown, given: Members): FetchRequest | null {
  let request: FetchRequest | null
  let inputStream: ReadableStream | null = null
  let isRequest = true
  if (input instanceof Request) {
    const { body } = getRequestState(input)
    request = fromRequest(input, given.body != null)
    inputStream = body?.stream ?? null
  } else if (isForeignRequest(input)) {
    request = fromForeignRequest(input, given.body != null)
    inputStream = (input as { body?: ReadableStream | null }).body ?? null
  } else {
    isRequest = false
    request = fromUrl(input)
  }
  if (request === null || !isFetchable(request.url)) return null
  if (!isEmpty(given) && !applyInit(request, given, isRequest)) return null
  const { body, method, signal } = request
  if (body !== null && (method === 'GET' || method === 'HEAD')) return null
  if (body !== null && !body.isReplayable && request.mode === 'no-cors') return null
  if (request.mode === 'no-cors' && method !== 'GET' && method !== 'HEAD' && method !== 'POST') return null
  if (request.cache === 'only-if-cached' && request.mode !== 'same-origin') return null
  if (signal?.aborted) return null
  // The body is the call's from now on: whoever holds the Request finds it used.
  if (inputStream !== null && given.body == null && body !== null) {
    if (body.payload === inputStream) request.body = takeOver(body, inputStream)
    else take(inputStream)
  }
  return request
}

function takeOver(body: OutgoingBody, stream: ReadableStream): OutgoingBody {
  const payload = stream.pipeThrough(new TransformStream())
  return { ...body, payload, given: body.given === stream ? payload : body.given }
}

function take(stream: ReadableStream): void {
  stream
    .getReader()
    .cancel()
    .catch(() => undefined)
}

function isEmpty(given: Members): boolean {
  for (const name in given) if (name !== 'dispatcher') return false
  return true
}

/** A Request of another fetch, such as Node's own. */
export function isForeignRequest(input: unknown): input is Members & { readonly url: string } {
  return isTagged(input, 'Request') && typeof input.url === 'string'
}

function isFetchable(url: URL): boolean {
  const { protocol } = url
  return (protocol === 'http:' || protocol === 'https:') && requestBadPort({ urlList: [url] }) === 'allowed'
}

function fromUrl(input: unknown): FetchRequest | null {
  if (typeof input === 'symbol') return null
  const url = URL.parse(input as string, environmentSettingsObject.settingsObject.baseUrl)
  return url === null || url.username !== '' || url.password !== '' ? null : new FetchRequest(url)
}

/** `hasBody`: the init has a body, which takes the place of the Request's. */
function fromRequest(input: Request, hasBody: boolean): FetchRequest | null {
  const state = getRequestState(input)
  const request = new FetchRequest(state.urlList.at(-1) as URL)
  if (state.integrity !== '') return null
  request.method = state.method
  if (!readHeaders(state.headersList.entriesList, request.headers)) return null
  request.redirect = state.redirect
  request.mode = state.mode
  request.cache = state.cache
  request.referrer = state.referrer
  request.referrerPolicy = state.referrerPolicy
  request.signal = input.signal
  request.dispatcher = getRequestDispatcher(input)
  if (state.body !== null && !hasBody) {
    const { source, stream, length } = state.body
    if (input.bodyUsed || stream.locked) return null
    request.body = readBodyOfRequest(source, stream, length)
    if (request.body === null) return null
  }
  return request
}

function fromForeignRequest(input: Members & { readonly url: string }, hasBody: boolean): FetchRequest | null {
  const request = fromUrl(input.url)
  if (request === null) return null
  const { body, keepalive: _, signal, ...rest } = readMembers(input)
  if (signal != null) {
    if (!(signal instanceof AbortSignal)) return null
    request.signal = signal
    request.signalOwner = input
  }
  // What a Request of another fetch was made with cannot be seen: its body is a stream to us.
  if (body != null && !hasBody) {
    if (!isStreamed(body)) return null
    request.body = readBody(body)
    if (request.body === null) return null
  }
  return applyInit(request, rest, false) ? request : null
}

/** Takes over what the caller gave beside the URL or Request; `false` for what is an error, or undici's to do. */
function applyInit(request: FetchRequest, given: Members, isRequest: boolean): boolean {
  if (given.integrity != null && String(given.integrity) !== '') return false
  if (given.window != null) return false
  for (const name of enumerated) {
    const value = given[name]
    if (value !== undefined && !(allowed[name] as readonly unknown[]).includes(value)) return false
  }
  if (isRequest) {
    request.referrer = 'client'
    request.referrerPolicy = ''
  }
  if (given.referrer !== undefined && !applyReferrer(request, given.referrer)) return false
  if (given.referrerPolicy !== undefined) request.referrerPolicy = given.referrerPolicy as string
  if (given.mode !== undefined) request.mode = given.mode as string
  if (given.cache !== undefined) request.cache = given.cache as string
  if (given.redirect !== undefined) request.redirect = given.redirect as RedirectMode
  if (given.method !== undefined) {
    const method = typeof given.method === 'symbol' ? null : normalMethod(given.method)
    if (method === null) return false
    request.method = method
    if (method === 'patch') warnOfPatch()
  }
  if (given.signal !== undefined) {
    if (given.signal !== null && !(given.signal instanceof AbortSignal)) return false
    request.signal = given.signal
    request.signalOwner = null
  }
  if (given.headers !== undefined && !applyHeaders(request, given)) return false
  return given.body === undefined || given.body === null || applyBody(request, given)
}

function applyHeaders(request: FetchRequest, given: Members): boolean {
  given.headers = steadyHeaders(given.headers)
  request.headers.clear()
  return readHeaders(given.headers, request.headers)
}

function applyBody(request: FetchRequest, given: Members): boolean {
  const streamed = isStreamed(given.body)
  if (streamed && (given.duplex === undefined || given.keepalive === true)) return false
  const body = readBody(given.body)
  if (body === null) return false
  request.body = body
  if (body.contentType !== null && !request.headers.has('content-type')) {
    request.headers.add('content-type', body.contentType)
  }
  return true
}

function applyReferrer(request: FetchRequest, given: unknown): boolean {
  if (typeof given === 'symbol') return false
  if (given === '') {
    request.referrer = 'no-referrer'
    return true
  }
  const { baseUrl, origin } = environmentSettingsObject.settingsObject
  const referrer = URL.parse(String(given), baseUrl)
  if (referrer === null) return false
  const isForeign = origin !== undefined && origin !== '' && referrer.origin !== origin
  const isClient = referrer.protocol === 'about:' && referrer.hostname === 'client'
  request.referrer = isClient || isForeign ? 'client' : referrer
  return true
}

let warnedOfPatch = false

function warnOfPatch(): void {
  if (warnedOfPatch) return
  warnedOfPatch = true
  process.emitWarning('fetch sends the method patch as it is written; servers know PATCH', {
    code: 'UNDICI-FETCH-patch',
  })
}
