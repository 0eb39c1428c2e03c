import { Blob, Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import { types } from 'node:util'
import { errors, FormData } from 'undici'
import { encodeForm } from './form-data.ts'

/** A body that has to be read while it is sent. */
export interface BodySource {
  readonly kind: 'stream' | 'web' | 'iterable'
  readonly body: unknown
  /** Whether it can be read from its beginning again. */
  readonly replayable: boolean
  /** Bytes, where that is known before it is read; otherwise -1. */
  readonly length: number
  readonly contentType: string | null
  /** Whether its content type counts whatever the caller's header says: it holds the boundary of the parts. */
  readonly isForm: boolean
  /** The stream's error from before it was sent. */
  failed: Error | null
}

export type RequestBody = Buffer | BodySource | null

function isStream(body: object): body is Readable {
  return typeof (body as { pipe?: unknown }).pipe === 'function' && typeof (body as { on?: unknown }).on === 'function'
}

function isBlob(body: object): body is Blob {
  return (
    body instanceof Blob ||
    (typeof (body as Blob).stream === 'function' &&
      typeof (body as Blob).arrayBuffer === 'function' &&
      /^(Blob|File)$/.test(String((body as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag])))
  )
}

function source(
  kind: BodySource['kind'],
  body: unknown,
  replayable: boolean,
  length = -1,
  contentType: string | null = null,
  isForm = false,
): BodySource {
  return { kind, body, replayable, length, contentType, isForm, failed: null }
}

function bytes(given: Buffer): Buffer | null {
  return given.byteLength === 0 ? null : given
}

/**
 * Every kind of body that undici takes, as bytes, as something to read, or as nothing.
 *
 * @throws InvalidArgumentError for what is no body.
 */
export function requestBody(given: unknown): RequestBody {
  if (given === null || given === undefined) return null
  if (typeof given === 'string') return given.length === 0 ? null : Buffer.from(given)
  if (typeof given !== 'object') return refuse()
  if (Buffer.isBuffer(given)) return bytes(given)
  if (ArrayBuffer.isView(given)) return bytes(Buffer.from(given.buffer, given.byteOffset, given.byteLength))
  if (types.isAnyArrayBuffer(given)) return bytes(Buffer.from(given))
  if (isStream(given)) return streamSource(given)
  if (given instanceof FormData) {
    const { parts, contentType } = encodeForm(given)
    const blob = new Blob(parts as never)
    return source('web', blob, true, blob.size, contentType, true)
  }
  if ((given as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'FormData') return refuse()
  if (given instanceof URLSearchParams) return bytes(Buffer.from(given.toString()))
  if (isBlob(given)) return source('web', given, true, given.size, given.type || null)
  if (typeof (given as { getReader?: unknown }).getReader === 'function') return source('web', given, false)
  const { [Symbol.asyncIterator]: asyncIterate, [Symbol.iterator]: iterate } = given as AsyncIterable<unknown> &
    Iterable<unknown>
  if (typeof asyncIterate === 'function') return source('iterable', given, false)
  // A list gives a new iterator each time, a generator itself.
  if (typeof iterate === 'function') {
    return source('iterable', given, typeof (given as Partial<Iterator<unknown>>).next !== 'function')
  }
  return refuse()
}

function refuse(): never {
  throw new errors.InvalidArgumentError(
    'body must be a string, a Buffer, a Readable stream, an iterable, an async iterable, a Blob or FormData of this undici',
  )
}

function streamSource(stream: Readable): BodySource {
  const made = source('stream', stream, false)
  // It may fail while its request waits.
  stream.on('error', (error) => {
    made.failed ??= error
  })
  return made
}

/** The bytes of a body, where they are known: a stream that has ended says how many it still holds. */
export function lengthOf(body: RequestBody): number {
  if (body === null) return 0
  if (Buffer.isBuffer(body)) return body.byteLength
  if (body.kind !== 'stream') return body.length
  const stream = body.body as Readable & { _readableState?: Partial<Record<string, unknown>> }
  // Reads its end, so that its length is known.
  if (typeof stream.read === 'function') stream.read(0)
  const state = stream._readableState
  return state !== undefined && state.objectMode === false && state.ended === true && Number.isFinite(state.length)
    ? (state.length as number)
    : -1
}

/** Why a stream given as body cannot be read, where that is known before it is sent. */
export function failureOf(body: RequestBody): Error | null {
  if (body === null || Buffer.isBuffer(body) || body.kind !== 'stream') return null
  const { destroyed, readableEnded, errored } = body.body as Readable
  if (body.failed !== null || destroyed !== true || readableEnded === true) return body.failed
  return errored ?? new errors.RequestAbortedError('the request body was closed before its end')
}

/** Whether a body can be sent again after it was begun. */
export function canSendAgain(body: RequestBody): boolean {
  return body === null || Buffer.isBuffer(body) || body.replayable
}

function ignore(): void {}

/** The request is over before its body was begun: whoever gives it shall know. */
export function giveUpBody(body: RequestBody, error: Error): void {
  if (body === null || Buffer.isBuffer(body)) return
  const given = body.body as { destroy?(error?: Error): void; cancel?(reason: Error): Promise<void>; locked?: boolean }
  if (body.kind === 'stream') {
    ;(given as unknown as Readable).on('error', ignore)
    given.destroy?.(error)
  } else if (typeof given.cancel === 'function' && given.locked !== true) {
    given.cancel(error).catch(ignore)
  }
}
