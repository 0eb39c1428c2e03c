import { Blob } from 'node:buffer'
import { Readable } from 'node:stream'
import { types } from 'node:util'
import { FormData } from 'undici'
import { getFormDataBoundary } from 'undici/lib/web/fetch/formdata.js'
import { ReusableBody } from '../dispatchers/body-source.ts'
import { encodeForm } from '../http2/form-data.ts'

/** undici reads a Blob whole into memory before it sends it; a bigger one is better streamed. In bytes. */
export const largestWholeBlob = 1024 * 1024

type Stream = ReadableStream<Uint8Array>

/** What a request carries. */
export interface OutgoingBody {
  /** What is handed to the dispatcher. */
  readonly payload: string | Uint8Array | Blob | ReusableBody | Stream | AsyncIterable<unknown>
  /** What a MockAgent matches on: the body as it was given. */
  readonly given: unknown
  /** Bytes; `null` where that is not known. */
  readonly length: number | null
  /** It can be sent again whole. */
  readonly isReplayable: boolean
  readonly contentType: string | null
  /** Makes the body of another hop, where the first has a stream of it. */
  readonly again?: () => OutgoingBody
}

function ofBytes(payload: string | Uint8Array, length: number, contentType: string | null): OutgoingBody {
  return { payload, given: payload, length, isReplayable: true, contentType }
}

function ofText(text: string, contentType: string): OutgoingBody {
  return ofBytes(text, Buffer.byteLength(text), contentType)
}

function ofBlob(blob: Blob, given: unknown, contentType: string | null): OutgoingBody {
  const payload = blob.size <= largestWholeBlob ? blob : new ReusableBody(() => blob.stream() as unknown as Stream)
  return { payload, given, length: blob.size, isReplayable: true, contentType }
}

function ofForm(form: FormData): OutgoingBody {
  // A Request that was made with a form of undici's has its boundary among its headers.
  const { parts, contentType } = encodeForm(form, form instanceof FormData ? getFormDataBoundary(form) : undefined)
  const [first] = parts
  if (parts.length === 1 && Buffer.isBuffer(first)) return { ...ofBytes(first, first.length, contentType), given: form }
  return ofBlob(new Blob(parts as never), form, contentType)
}

function ofStream(payload: Stream | AsyncIterable<unknown>): OutgoingBody {
  return { payload, given: payload, length: null, isReplayable: false, contentType: null }
}

/** Whether a value says that it is of a class of the web's, whoever made that class. */
export function isTagged(value: unknown, tag: string): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === tag
  )
}

/** The runtime's own FormData counts as well. npm's `form-data` carries the tag too, but is a stream and has no entries. */
export function isFormData(body: unknown): body is FormData {
  return body instanceof FormData || (isTagged(body, 'FormData') && typeof body.entries === 'function')
}

function bytesOf(source: ArrayBuffer | ArrayBufferView): Uint8Array {
  // What was handed to somebody else is empty, and cannot be looked at.
  if (source.byteLength === 0) return Buffer.alloc(0)
  // A copy: the caller may go on writing into it while the call waits or is tried again.
  if (types.isArrayBuffer(source)) return Buffer.from(new Uint8Array(source))
  const { buffer, byteOffset, byteLength } = source as ArrayBufferView
  return Buffer.from(new Uint8Array(buffer, byteOffset, byteLength))
}

/** Whether a body gives its bytes only once. */
export function isStreamed(body: unknown): body is Stream | AsyncIterable<unknown> {
  if (typeof body !== 'object' || body === null) return false
  return (
    body instanceof ReadableStream ||
    typeof (body as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === 'function'
  )
}

/**
 * Takes a body as the standard does, `Content-Type` included; returns `null` for a stream that was read from or is
 * locked, whose error is undici's to give.
 */
export function readBody(body: unknown): OutgoingBody | null {
  if (typeof body === 'string') return ofText(body.toWellFormed(), 'text/plain;charset=UTF-8')
  if (body instanceof Blob) return ofBlob(body, body, body.type === '' ? null : body.type)
  if (isFormData(body)) return ofForm(body)
  if (isStreamed(body)) return canBeRead(body) ? ofStream(body) : null
  if (body instanceof URLSearchParams) {
    return ofText(body.toString(), 'application/x-www-form-urlencoded;charset=UTF-8')
  }
  if (types.isArrayBuffer(body) || (ArrayBuffer.isView(body) && types.isArrayBuffer(body.buffer))) {
    const bytes = bytesOf(body as ArrayBuffer | ArrayBufferView)
    return ofBytes(bytes, bytes.byteLength, null)
  }
  return typeof body === 'symbol' ? null : ofText(String(body).toWellFormed(), 'text/plain;charset=UTF-8')
}

function canBeRead(body: object): boolean {
  return !Readable.isDisturbed(body as Readable) && (body as { locked?: unknown }).locked !== true
}

/** The body that a Request of undici's was made with, or its stream. Its content type is among the headers already. */
export function readBodyOfRequest(source: unknown, stream: Stream, length: number | null): OutgoingBody | null {
  // The form may have been changed since; only the stream has it as it was.
  if (source instanceof FormData) {
    const again = () => ofForm(source)
    return { payload: stream, given: source, length, isReplayable: true, contentType: null, again }
  }
  const body = readBody(source ?? stream)
  return body === null ? null : { ...body, contentType: null }
}

/** Tells the source of a body that nobody has read from that nobody will. */
export function cancelBody(body: OutgoingBody | null, reason: unknown): void {
  if (body === null || body.isReplayable) return
  closeStream(body.payload as Stream | AsyncIterable<unknown>, reason).catch(() => undefined)
}

// Asynchronous so that what the caller's own iterable throws is a rejection as well.
async function closeStream(stream: Stream | AsyncIterable<unknown>, reason: unknown): Promise<void> {
  if (stream instanceof ReadableStream) await stream.cancel(reason)
  else await stream[Symbol.asyncIterator]().return?.()
}
