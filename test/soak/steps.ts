import { gzipSync } from 'node:zlib'
import type { Step, StepOptions } from '../../src/testing/index.ts'

// What a server may be asked to do with one request. The request itself says it, so that the server keeps no plan.

/** The header that lists what each arrival of a call gets; the last step is for all that follow. */
export const stepsHeader = 'x-soak-steps'
/** The header with the number of the call. */
export const callHeader = 'x-soak-call'
/** The header that says what body the server should see: bytes and SHA-256, or `any`. */
export const bodyHeader = 'x-soak-body'
/** Set where an unsafe method may arrive more than once. */
export const repeatableHeader = 'x-soak-repeatable'
/** In an answer: bytes of its body, before any encoding. */
export const lengthHeader = 'x-soak-length'

/** Faults and oddities a server plays; `how` is the end of the exchange that proves it was really played. */
export const serverFaults = {
  'status 500': 'answered',
  'status 502': 'answered',
  'status 503': 'answered',
  'status 504': 'answered',
  'status 429': 'answered',
  'retry-after 0': 'answered',
  'retry-after long': 'answered',
  'slow head': 'answered',
  'slow body': 'answered',
  'reset before head': 'faulted',
  'reset in body': 'faulted',
  'cut body': 'faulted',
  'lost connection': 'faulted',
  'hanging head': 'aborted',
  'hanging body': 'aborted',
  'refused stream': 'faulted',
  goaway: 'answered',
  'goaway unprocessed': 'faulted',
  'early hints': 'answered',
  'early answer': 'answered',
  'large body': 'answered',
  trailers: 'answered',
  '204': 'answered',
  '304': 'answered',
  redirect: 'answered',
  gzip: 'answered',
} as const satisfies Record<string, 'answered' | 'faulted' | 'aborted'>

/** A step of a server: a fault by name, or a plain 200. */
export type StepName = keyof typeof serverFaults | 'ok'

/** What a step is made for. */
export interface Arrival {
  readonly call: number
  /** How often the call has arrived, this time included. */
  readonly number: number
  readonly protocol: '1.1' | '2'
  readonly streamId: number
  readonly path: string
}

const small = 600
const large = 200_000

/** The text a body consists of, again and again: it tells which arrival of which call the bytes belong to. */
export function mark(call: number, arrival: number): string {
  return `[${call}.${arrival}]`
}

/** `text` repeated to `length` characters. */
export function repeated(text: string, length: number): string {
  return text.repeat(Math.ceil(length / text.length)).slice(0, length)
}

function bodyOf({ call, number }: Arrival, length: number): { body: Buffer; headers: Record<string, string> } {
  return { body: Buffer.from(repeated(mark(call, number), length)), headers: { [lengthHeader]: String(length) } }
}

/** Faults of HTTP/2 alone have their nearest kin on HTTP/1.1; the listener knows it. */
export function stepOf(name: StepName, arrival: Arrival): Step {
  const filled = bodyOf(arrival, small)
  const status = (code: number, more: StepOptions = {}): Step => ({ status: code, ...filled, ...more })
  switch (name) {
    case 'ok':
      return filled
    case 'status 500':
      return status(500)
    case 'status 502':
      return status(502)
    case 'status 503':
      return status(503)
    case 'status 504':
      return status(504)
    case 'status 429':
      return status(429)
    case 'retry-after 0':
      return status(503, { retryAfter: 0 })
    case 'retry-after long':
      return status(429, { retryAfter: 600 })
    case 'slow head':
      return { ...filled, delay: 8 }
    case 'slow body': {
      const parts = [filled.body.subarray(0, 200), filled.body.subarray(200, 400), filled.body.subarray(400)]
      return { ...filled, body: parts, bodyDelay: 4 }
    }
    case 'reset before head':
      return { reset: 'before-head' }
    case 'reset in body':
      return { ...filled, reset: 'in-body' }
    case 'cut body':
      return { ...filled, cut: true }
    case 'lost connection':
      return { destroySession: 'before-head' }
    case 'hanging head':
      return { hang: 'head' }
    case 'hanging body':
      return { ...filled, hang: 'body' }
    case 'refused stream':
      return { refuse: true }
    case 'goaway':
      return { ...filled, goaway: {} }
    case 'goaway unprocessed': {
      // The first stream of a session cannot be left out: 0 would be the last one taken on.
      const last = arrival.streamId - 2
      return last > 0 ? { goaway: { lastStreamId: last } } : { refuse: true }
    }
    case 'early hints':
      return { ...filled, early: [{ status: 103, headers: { link: '</style.css>; rel=preload' } }] }
    case 'early answer':
      return status(200, { waitForBody: false })
    case 'large body':
      return bodyOf(arrival, large)
    case 'trailers':
      return { ...filled, trailers: { 'x-soak-trailer': 'yes' } }
    case '204':
      return 204
    case '304':
      return 304
    case 'redirect':
      return { status: 307, headers: { location: `${arrival.path.split('?', 1)[0]}?hop=${arrival.number}` } }
    case 'gzip': {
      const headers = { ...filled.headers, 'content-encoding': 'gzip' }
      return { body: gzipSync(filled.body), headers }
    }
  }
}
