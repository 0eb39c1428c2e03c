import { Response } from 'undici'
import { setHeadersGuard, setHeadersList } from 'undici/lib/web/fetch/headers.js'
import { getResponseState, type ResponseState } from 'undici/lib/web/fetch/response.js'
import type { Protocol } from '../dispatchers/protocol.ts'
import { openBody, usedStream } from './body-stream.ts'
import type { Convert, IncomingBody } from './incoming-body.ts'

/** What a Response of undici's has as its body: a stream, here made when somebody asks for it. */
class ResponseBody {
  readonly source = null
  readonly length = null
  readonly incoming: IncomingBody
  private opened: ReadableStream | null = null

  constructor(incoming: IncomingBody) {
    this.incoming = incoming
  }

  get isLazy(): boolean {
    return this.opened === null
  }

  get stream(): ReadableStream {
    this.opened ??= this.incoming.used ? usedStream() : openBody(this.incoming)
    return this.opened
  }

  // undici puts one branch of a tee here when the response is cloned.
  set stream(stream: ReadableStream) {
    this.opened = stream
  }
}

/** The body of a response of ours that was not asked for as a stream yet; `null` for every other. */
function lazyBodyOf(response: FetchResponse): IncomingBody | null {
  const { body } = getResponseState(response as unknown as Response)
  return body instanceof ResponseBody && body.isLazy ? body.incoming : null
}

const decoder = new TextDecoder()

function toText(bytes: Buffer): string {
  return decoder.decode(bytes)
}

function toJson(bytes: Buffer): unknown {
  return JSON.parse(toText(bytes))
}

// A copy of what came in one piece: it is a part of the transport's buffer, or a mock's.
function toArrayBuffer(bytes: Buffer, isOwn: boolean): ArrayBuffer {
  return (isOwn ? bytes.buffer : new Uint8Array(bytes).buffer) as ArrayBuffer
}

function toBytes(bytes: Buffer, isOwn: boolean): Uint8Array {
  return new Uint8Array(toArrayBuffer(bytes, isOwn))
}

function consume<T>(body: IncomingBody, convert: Convert): Promise<T> {
  if (body.used) return Promise.reject(new TypeError('Body is unusable: Body has already been read'))
  return body.consume(convert) as Promise<T>
}

// `this` may be anything: whoever calls a method on what is no Response gets undici's own error.
function isOurs(value: unknown): value is FetchResponse {
  return value instanceof FetchResponse
}

// undici's types have these as fields, which a class could not override.
declare class BaseResponse {
  constructor(body: null)
  get bodyUsed(): boolean
  text(): Promise<string>
  json(): Promise<unknown>
  bytes(): Promise<Uint8Array>
  arrayBuffer(): Promise<ArrayBuffer>
}

const Base = Response as unknown as typeof BaseResponse

/**
 * A Response of undici's whose state is filled by us, so that every getter and method of `Response.prototype` sees the
 * same. The methods here are shorter ways for a body that nobody wants as a stream.
 */
class FetchResponse extends Base {
  override get bodyUsed(): boolean {
    const body = isOurs(this) ? lazyBodyOf(this) : null
    return body === null ? super.bodyUsed : body.used
  }

  override text(): Promise<string> {
    const body = isOurs(this) ? lazyBodyOf(this) : null
    return body === null ? super.text() : consume(body, toText)
  }

  override json(): Promise<unknown> {
    const body = isOurs(this) ? lazyBodyOf(this) : null
    return body === null ? super.json() : consume(body, toJson)
  }

  override bytes(): Promise<Uint8Array> {
    const body = isOurs(this) ? lazyBodyOf(this) : null
    return body === null ? super.bytes() : consume(body, toBytes)
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    const body = isOurs(this) ? lazyBodyOf(this) : null
    return body === null ? super.arrayBuffer() : consume(body, toArrayBuffer)
  }
}

// Nothing shows that it is a class of its own.
Object.defineProperty(FetchResponse, 'name', { value: 'Response' })
Object.defineProperty(FetchResponse.prototype, 'constructor', { value: Response, writable: true, configurable: true })
for (const name of ['bodyUsed', 'text', 'json', 'bytes', 'arrayBuffer']) {
  Object.defineProperty(FetchResponse.prototype, name, { enumerable: true })
}

// A Response that was dropped unread: the transport still holds its body. A stream of it has a registry of its own.
const dropped = new FinalizationRegistry<IncomingBody>((body) => {
  if (!body.used && !body.isStreamed) body.discard()
})

/** What a fetch comes to. */
export interface ResponseParts {
  readonly type: ResponseState['type']
  readonly status: number
  readonly statusText: string
  readonly urls: readonly URL[]
  readonly headers: object
  readonly body: IncomingBody | null
  readonly protocol: Protocol | undefined
}

export function makeResponse(parts: ResponseParts): Response {
  const response = new FetchResponse(null) as unknown as Response
  const state = getResponseState(response)
  state.type = parts.type
  state.status = parts.status
  state.statusText = parts.statusText
  state.urlList = parts.urls
  state.headersList = parts.headers
  state.protocol = parts.protocol
  state.body = parts.body === null ? null : new ResponseBody(parts.body)
  const { headers } = response
  setHeadersList(headers, parts.headers)
  setHeadersGuard(headers, 'immutable')
  if (parts.body?.isWatched) dropped.register(response, parts.body)
  return response
}
