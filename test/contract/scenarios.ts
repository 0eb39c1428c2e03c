// What can happen to a call, told without saying which layers it passes.
import { Readable } from 'node:stream'
import type { OutcomeKind } from 'roundtripper'
import type { Dispatcher } from 'undici'
import type { Consumer, Moment, Reactions } from './consumer.ts'
import { type Ground, largeBytes, type Version } from './ground.ts'
import { oddError } from './odd.ts'

export interface Scenario {
  readonly name: string
  readonly only?: Version
  readonly path: string
  readonly method?: string
  readonly body?: () => Dispatcher.DispatchOptions['body']
  readonly upgrade?: string
  readonly on?: Reactions
  /** After dispatch has returned. */
  readonly after?: (consumer: Consumer, ground: Ground, path: string) => void
  readonly expect: readonly string[]
  readonly bytes?: number
  /** The very error that must arrive; `true`: any. */
  readonly error?: unknown
  /** What every policy is told it came to; `null`: that is not the scenario's to say. @default what `expect` and `error` say */
  readonly kind?: OutcomeKind | null
  /** What else must hold: what is wrong, or nothing. */
  readonly check?: (consumer: Consumer, ground: Ground, path: string) => string | undefined
  /** Only a kit's layer goes through with this (over that version): the transport misbehaves, or has no controller yet. */
  readonly odd?: true | Version
  /** The server, or the layer below, would never answer. */
  readonly hangs?: boolean
  /** Nothing may reach the server. */
  readonly unsent?: boolean
}

/** What every scenario aborts with. */
export const abortReason = new Error('enough')
/** What every scenario throws. */
export const thrownError = new Error('the consumer threw')

const abort = (consumer: Consumer) => consumer.controller?.abort(abortReason)
const throwIt = () => {
  throw thrownError
}

const hello = ['start', 'head 200', 'data', 'end']

const answers: readonly Scenario[] = [
  {
    name: '200 with a body',
    path: '/get',
    expect: hello,
    bytes: 5,
    check: ({ headers, requestSent }) =>
      headers['x-tell'] !== 'told'
        ? 'a header is missing'
        : requestSent === 0
          ? 'onRequestSent did not come'
          : undefined,
  },
  { name: 'HEAD', path: '/get', method: 'HEAD', expect: ['start', 'head 200', 'end'], bytes: 0 },
  { name: '204', path: '/empty', expect: ['start', 'head 204', 'end'], bytes: 0 },
  { name: '304', path: '/unchanged', expect: ['start', 'head 304', 'end'], bytes: 0 },
  { name: '403', path: '/refused', expect: ['start', 'head 403', 'data', 'end'], bytes: 2 },
  { name: '103, then 200', path: '/early', expect: ['start', 'info 103', 'head 200', 'data', 'end'], bytes: 5 },
  {
    name: 'trailers',
    path: '/trailers',
    expect: hello,
    bytes: 5,
    check: ({ trailers }) => (trailers['x-sum'] === '5' ? undefined : 'the trailer is missing'),
  },
  {
    name: 'raw headers and trailers on the controller',
    path: '/trailers',
    expect: hello,
    check: ({ rawHeaders, rawTrailers }) =>
      !tells(rawHeaders, 'date')
        ? 'rawHeaders are missing'
        : tells(rawTrailers, 'x-sum')
          ? undefined
          : 'rawTrailers are missing',
  },
  {
    name: 'a request body of text',
    path: '/echo',
    method: 'POST',
    body: () => 'hello',
    expect: hello,
    check: (consumer) => sentWhole(consumer, 5),
  },
  {
    name: 'a request body that streams',
    path: '/echo',
    method: 'PUT',
    body: () => Readable.from([Buffer.from('hello '), Buffer.from('there')]),
    expect: hello,
    check: (consumer, { isUndici, version }) => sentWhole(consumer, isUndici && version === '2' ? 0 : 11),
  },
  {
    name: 'upgrade',
    path: '/tunnel',
    upgrade: 'websocket',
    on: { upgrade: ({ socket }) => socket?.destroy() },
    expect: ['start', 'upgrade'],
  },
  {
    name: 'CONNECT',
    path: 'example.com:443',
    method: 'CONNECT',
    on: { upgrade: ({ socket }) => socket?.destroy() },
    expect: ['start', 'upgrade'],
  },
  {
    name: '300 KB held back and let go, piece by piece',
    path: '/large',
    on: { head: pauseForATurn, data: pauseForATurn },
    expect: hello,
    bytes: largeBytes,
    check: ({ bytesWhilePaused }) =>
      bytesWhilePaused === 0 ? undefined : `${bytesWhilePaused} bytes came while paused`,
  },
  {
    name: 'held back before the head',
    path: '/large',
    on: { start: (consumer) => consumer.pause(), head: (consumer) => setImmediate(() => consumer.resume()) },
    expect: hello,
    bytes: largeBytes,
    check: ({ bytesWhilePaused }) =>
      bytesWhilePaused === 0 ? undefined : `${bytesWhilePaused} bytes came while paused`,
  },
]

function tells(raw: unknown, name: string): boolean {
  if (Array.isArray(raw)) return raw.some((entry) => String(entry).toLowerCase() === name)
  return typeof raw === 'object' && raw !== null && name in raw
}

function sentWhole({ bodySent, requestSent }: Consumer, size: number): string | undefined {
  if (bodySent !== size) return `onBodySent told of ${bodySent} bytes of ${size}`
  return requestSent === 1 ? undefined : `onRequestSent came ${requestSent} times`
}

function pauseForATurn(consumer: Consumer): void {
  consumer.pause()
  setImmediate(() => consumer.resume())
}

const aborts: readonly Scenario[] = [
  {
    name: 'abort in onRequestStart',
    path: '/get',
    on: { start: abort },
    expect: ['start', 'error'],
    error: abortReason,
    unsent: true,
  },
  {
    name: 'abort right after dispatch',
    path: '/hang',
    after: abort,
    expect: ['start', 'error'],
    error: abortReason,
    odd: true,
    hangs: true,
  },
  {
    name: 'abort before the head',
    path: '/hang',
    after: (consumer, ground, path) => ground.onArrival(path, () => abort(consumer)),
    expect: ['start', 'error'],
    error: abortReason,
    hangs: true,
  },
  {
    name: 'abort at the head',
    path: '/hang-body',
    on: { head: abort },
    expect: ['start', 'head 200', 'error'],
    error: abortReason,
    hangs: true,
  },
  {
    name: 'abort in the body, from its callback',
    path: '/hang-body',
    on: { data: abort },
    expect: ['start', 'head 200', 'data', 'error'],
    error: abortReason,
    hangs: true,
  },
  {
    name: 'abort in the body, from outside',
    path: '/hang-body',
    on: { data: (consumer) => setImmediate(abort, consumer) },
    expect: ['start', 'head 200', 'data', 'error'],
    error: abortReason,
    hangs: true,
  },
  {
    name: 'abort of a body that is held back',
    path: '/large',
    on: {
      head: (consumer) => {
        consumer.pause()
        setImmediate(abort, consumer)
      },
    },
    expect: ['start', 'head 200', 'error'],
    error: abortReason,
  },
  { name: 'abort in onResponseEnd', path: '/get', on: { end: abort }, expect: hello },
  {
    name: 'abort after the end',
    path: '/get',
    on: { end: (consumer) => setImmediate(abort, consumer) },
    expect: hello,
  },
  {
    name: 'abort twice',
    path: '/hang',
    after: (consumer) => {
      abort(consumer)
      consumer.controller?.abort(new Error('once more'))
    },
    expect: ['start', 'error'],
    error: abortReason,
    odd: true,
    hangs: true,
  },
  {
    name: 'abort in onRequestSent',
    path: '/hang',
    on: { requestSent: abort },
    expect: ['start', 'error'],
    error: abortReason,
    odd: '2',
    hangs: true,
  },
  {
    name: 'abort in onBodySent',
    path: '/hang',
    method: 'POST',
    body: () => 'hello',
    on: { bodySent: abort },
    expect: ['start', 'error'],
    error: abortReason,
    odd: '2',
    hangs: true,
  },
  {
    name: 'abort while the body is being sent',
    // undici does not tell of a streamed body's bytes over HTTP/2.
    only: '1.1',
    path: '/hang',
    method: 'POST',
    body: () => Readable.from([Buffer.from('hello')]),
    on: { bodySent: abort },
    expect: ['start', 'error'],
    error: abortReason,
    hangs: true,
  },
]

const faults: readonly Scenario[] = [
  { name: 'reset before the head', path: '/reset', expect: ['start', 'error'], error: true },
  { name: 'a body that is cut', path: '/cut', expect: ['start', 'head 200', 'data', 'error'], error: true },
]

function throwing(moment: Moment, path: string, expect: readonly string[], rest: Partial<Scenario> = {}): Scenario {
  return { name: `throw in ${moment}`, path, on: { [moment]: throwIt }, expect, error: thrownError, ...rest }
}

const throws: readonly Scenario[] = [
  throwing('start', '/get', ['start', 'error'], { unsent: true }),
  throwing('info', '/early', ['start', 'info 103', 'error']),
  throwing('head', '/get', ['start', 'head 200', 'error']),
  throwing('data', '/large', ['start', 'head 200', 'data', 'error']),
  throwing('end', '/get', ['start', 'head 200', 'data', 'end', 'error']),
  throwing('requestSent', '/get', ['start', 'error'], { odd: '2' }),
  throwing('bodySent', '/echo', ['start', 'error'], { odd: '2', method: 'POST', body: () => 'hello' }),
]

const oddCalls: readonly Scenario[] = [
  {
    name: 'an error with a null controller',
    path: '/odd/null-controller',
    expect: ['start', 'error'],
    error: oddError,
  },
  {
    name: 'an error without a controller, later',
    path: '/odd/no-controller-later',
    expect: ['start', 'error'],
    error: oddError,
  },
  { name: 'a dispatch that throws', path: '/odd/throws', expect: ['start', 'error'], error: oddError },
  {
    name: 'a dispatch that starts and throws',
    path: '/odd/starts-and-throws',
    expect: ['start', 'error'],
    error: oddError,
  },
  {
    name: 'a dispatch that fails and throws',
    path: '/odd/fails-and-throws',
    expect: ['start', 'error'],
    error: oddError,
  },
  { name: 'a transport that starts the call three times', path: '/odd/starts-twice', expect: hello, bytes: 5 },
  { name: 'a transport that ends the call twice', path: '/odd/never-ends', expect: ['start', 'head 200', 'end'] },
  {
    name: 'abort where the transport has given no controller',
    path: '/odd/silent',
    after: abort,
    expect: ['start', 'error'],
    error: abortReason,
    hangs: true,
  },
].map((scenario) => ({ ...scenario, odd: true as const }))

/** What the policies are told of a scenario. */
export function kindOf({ kind, error, expect }: Scenario): OutcomeKind | null {
  if (kind !== undefined) return kind
  if (error === abortReason) return 'cancelled'
  // What throws in its end has had a good answer.
  if (error === thrownError) return expect.includes('end') ? 'success' : 'invalid'
  if (error !== undefined) return 'networkError'
  return expect.includes('head 403') ? 'clientError' : 'success'
}

/** Whether the transport alone comes through a scenario. */
export function isPlain({ odd }: Scenario, version: Version): boolean {
  return odd !== true && odd !== version
}

export const scenarios: readonly Scenario[] = [...answers, ...aborts, ...faults, ...throws, ...oddCalls]
