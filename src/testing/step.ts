import { checkDuration, checkNumber, checkOptions } from '../policies/options.ts'
import type { RecordedRequest } from './recorded-request.ts'

/** Header fields of an answer; an array is sent as several lines. */
export type HeaderValues = Readonly<Record<string, string | number | readonly string[]>>

/** A piece of a body, or a promise: the body stops there until it resolves, and sends the piece it resolves with, if any. */
export type BodyPart = string | Uint8Array | PromiseLike<unknown>

/**
 * A body. In one piece it is sent with a `content-length`; in parts it has none, and every part is its own write. A step
 * that repeats must not hold a generator, which can be read only once: give an array, or make the step in a function.
 */
export type Body = string | Uint8Array | Iterable<BodyPart> | AsyncIterable<string | Uint8Array>

/** An interim response, sent before the head. */
export interface EarlyResponse {
  /**
   * 100, 102 to 199.
   * @default 103
   */
  readonly status?: number
  readonly headers?: HeaderValues
}

/** What a GOAWAY frame says (RFC 9113 section 6.8). */
export interface GoAway {
  /**
   * Error code.
   * @default 0
   */
  readonly code?: number
  /**
   * The last stream the server took on. Below this request's own stream, the request is not answered: it counts as never processed.
   * @default the stream of this request
   */
  readonly lastStreamId?: number
}

/** Where a fault strikes: before any byte of the answer, or with the head and a part of the body sent. */
export type FaultPoint = 'before-head' | 'in-body'

/**
 * One answer, or one fault. An `in-body` fault on a body in one piece strikes after its first half, on a body in parts
 * after the last part; where the body is empty, 1 KiB of filling stands in.
 */
export interface StepOptions {
  /**
   * Status of the answer. 101 (to an HTTP/1.1 upgrade) and 200 to a CONNECT open a tunnel that sends back what it gets.
   * @default 200
   */
  readonly status?: number
  /** @default none but `content-length`, where the body is in one piece */
  readonly headers?: HeaderValues
  /** @default an empty body */
  readonly body?: Body
  /** Trailer fields; the body is then sent without a `content-length`. */
  readonly trailers?: HeaderValues
  /** Interim (1xx) responses before the head. */
  readonly early?: readonly EarlyResponse[]
  /** Answers with JSON, see {@link Echo}, that tells what came. */
  readonly echo?: boolean
  /** A `retry-after` header: seconds, or any text. */
  readonly retryAfter?: number | string
  /**
   * Whether the answer (or the fault) waits until the whole request body is in. `refuse`, and a `goaway` that leaves the request out, never wait.
   * @default true
   */
  readonly waitForBody?: boolean
  /** Nothing is answered until this promise resolves. */
  readonly hold?: PromiseLike<unknown>
  /** Milliseconds before the head; counted after `hold`. */
  readonly delay?: number
  /** Milliseconds before each part of the body, the first one too; the head goes out at once. */
  readonly bodyDelay?: number
  /** HTTP/1.1: resets the connection (TCP RST). HTTP/2: RST_STREAM with `resetCode`. */
  readonly reset?: FaultPoint
  /**
   * The code of an HTTP/2 `reset`.
   * @default 2, INTERNAL_ERROR
   */
  readonly resetCode?: number
  /** Ends too early. HTTP/1.1: closes the connection within the body. HTTP/2: RST_STREAM with CANCEL, no END_STREAM. */
  readonly cut?: boolean
  /** Stands still, with no head or within the body, until the caller gives up or the server closes. */
  readonly hang?: 'head' | 'body'
  /** HTTP/2: RST_STREAM with REFUSED_STREAM, at once. HTTP/1.1: closes the connection without an answer. */
  readonly refuse?: boolean
  /** HTTP/2: sends GOAWAY at once, then answers; closes the connection 1 s after its last stream. HTTP/1.1: answers with `connection: close`. */
  readonly goaway?: GoAway
  /** Closes the whole connection, without GOAWAY: every stream on it dies. */
  readonly destroySession?: FaultPoint
}

/** An answer: a status, or more than a status. */
export type Step = number | StepOptions

/** Decides when the request's head is in; the body can be awaited with `request.bytes()`. */
export type StepFunction = (request: RecordedRequest) => Step | PromiseLike<Step>

/** Steps for the requests to a path, one after the other. */
export type Script = Step | StepFunction | readonly (Step | StepFunction)[]

export interface ScriptOptions {
  /**
   * What follows the last step: the last step for ever, the first again, or the `*` script.
   * @default 'repeat'
   */
  readonly afterLast?: 'repeat' | 'restart' | 'default'
}

/** What a step with `echo` answers, as JSON. */
export interface Echo {
  readonly method: string
  readonly path: string
  readonly protocol: '1.1' | '2'
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly bodyLength: number
  /** Of the whole body, in hexadecimal. */
  readonly bodySha256: string
  /** The first 64 KiB as UTF-8 text. */
  readonly body: string
}

const names = [
  'status',
  'headers',
  'body',
  'trailers',
  'early',
  'echo',
  'retryAfter',
  'waitForBody',
  'hold',
  'delay',
  'bodyDelay',
  'reset',
  'resetCode',
  'cut',
  'hang',
  'refuse',
  'goaway',
  'destroySession',
] as const satisfies readonly (keyof StepOptions)[]

const statusRange = { min: 101, max: 999, integer: true }
const codeRange = { min: 0, max: 2 ** 32 - 1, integer: true }

/** Throws a `TypeError` that names the option and what it may be. */
export function checkOneOf(option: string, value: unknown, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string)) {
    throw new TypeError(`${option} must be ${allowed.map((name) => `'${name}'`).join(' or ')}, got ${String(value)}`)
  }
}

/** Returns a step in its long form, or throws a `TypeError` or `RangeError` that names what is wrong with it. */
export function checkStep(step: Step): StepOptions {
  if (typeof step === 'number') return { status: checkNumber('status', step, statusRange) }
  checkOptions('step', step, names)
  const { status, early, delay, bodyDelay, resetCode, goaway } = step
  if (status !== undefined) checkNumber('status', status, statusRange)
  if (delay !== undefined) checkDuration('delay', delay, 0)
  if (bodyDelay !== undefined) checkDuration('bodyDelay', bodyDelay, 0)
  if (resetCode !== undefined) checkNumber('resetCode', resetCode, codeRange)
  checkOneOf('reset', step.reset, ['before-head', 'in-body'])
  checkOneOf('hang', step.hang, ['head', 'body'])
  checkOneOf('destroySession', step.destroySession, ['before-head', 'in-body'])
  for (const one of early ?? []) {
    if (one.status !== undefined) checkNumber('early status', one.status, { min: 100, max: 199, integer: true })
  }
  if (goaway !== undefined) {
    checkOptions('goaway', goaway, ['code', 'lastStreamId'])
    if (goaway.code !== undefined) checkNumber('goaway.code', goaway.code, codeRange)
    if (goaway.lastStreamId !== undefined) {
      checkNumber('goaway.lastStreamId', goaway.lastStreamId, { min: 1, max: 2 ** 31 - 1, integer: true })
    }
  }
  return step
}
