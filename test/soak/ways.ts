import { setTimeout as sleep } from 'node:timers/promises'
import { type Dispatcher, request } from 'undici'
import { type CallOptions, createFetch, runWithContext } from '../../src/index.ts'
import { makeBody } from './bodies.ts'
import type { Call } from './call.ts'
import { Consumer, type Result } from './consumer.ts'
import { CheckedDispatcher } from './contract.ts'
import { SoakAbort } from './errors.ts'
import type { Servers } from './servers.ts'
import { bodyHeader, callHeader, repeatableHeader, stepsHeader } from './steps.ts'

/** Makes a call the way its plan says; settles when the call is over, and never rejects. */
export function makeCall(call: Call, dispatcher: Dispatcher, servers: Servers, endsAtOnce: boolean): Promise<Result> {
  const { id } = call.plan
  // Longer than any call: what it bounds is bounded by others first.
  const served = {
    requestId: `soak-${id}`,
    tenant: `tenant-${id % 7}`,
    baggage: { call: String(id) },
    deadline: 600_000,
  }
  return runWithContext(served, makeInContext, call, dispatcher, servers, endsAtOnce)
}

function makeInContext(call: Call, dispatcher: Dispatcher, servers: Servers, endsAtOnce: boolean): Promise<Result> {
  const checked = new CheckedDispatcher(dispatcher, call)
  const sent = requestOf(call, servers)
  switch (call.plan.way) {
    case 'dispatch':
      return viaDispatch(call, checked, sent, endsAtOnce)
    case 'request':
      return viaRequest(call, checked, sent)
    case 'fetch':
      return viaFetch(call, checked, sent)
  }
}

interface SentRequest {
  readonly origin: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: unknown
  readonly resilience: CallOptions | undefined
}

function requestOf({ plan }: Call, servers: Servers): SentRequest {
  const { id, server, steps, mark, options, cacheable } = plan
  const headers: Record<string, string> = { [callHeader]: String(id), [stepsHeader]: steps.join(',') }
  let body: unknown = null
  if (plan.body !== null) {
    const made = makeBody(plan.body, id)
    body = made.body
    headers[bodyHeader] = plan.arrivesWhole ? made.expected : 'any'
  }
  if (mark !== null) headers[repeatableHeader] = '1'
  if (mark === 'header') headers['idempotency-key'] = String(id)
  const path = cacheable ? '/cached' : `/c/${id}`
  const origin = server === 'refusing' ? servers.refusing : servers.origins[server]
  const said: CallOptions = mark === 'option' ? { ...options, idempotent: true } : options
  const resilience = Object.keys(said).length > 0 ? said : undefined
  return { origin, path, headers, body, resilience }
}

function viaDispatch(
  call: Call,
  dispatcher: Dispatcher,
  { resilience, ...sent }: SentRequest,
  endsAtOnce: boolean,
): Promise<Result> {
  const consumer = new Consumer(call, endsAtOnce)
  const opts = { ...sent, method: call.plan.method, ...(resilience && { resilience }) }
  dispatcher.dispatch(opts as Dispatcher.DispatchOptions, consumer)
  return consumer.result
}

/** A signal for one call; in the phase `dispatch` it is aborted before the call is made, or right after. */
function signalOf(call: Call): AbortSignal {
  const aborter = new AbortController()
  call.giveUp = (phase) => aborter.abort(new SoakAbort(`given up (${phase})`))
  return aborter.signal
}

function abortsBefore({ plan }: Call): boolean {
  return plan.abort === 'dispatch' && plan.id % 2 === 0
}

function abortsRightAfter({ plan }: Call): boolean {
  return plan.abort === 'dispatch' && plan.id % 2 === 1
}

async function viaRequest(call: Call, dispatcher: Dispatcher, sent: SentRequest): Promise<Result> {
  const { origin, path, headers, body, resilience } = sent
  const { method, unread } = call.plan
  const signal = signalOf(call)
  let status: number | undefined
  let answered: Record<string, unknown> = {}
  const chunks: Buffer[] = []
  const result = (complete: boolean, error?: unknown): Result => {
    return { status, headers: answered, body: Buffer.concat(chunks), complete, error, thrown: undefined }
  }
  try {
    if (abortsBefore(call)) call.abortNow('dispatch')
    const options = { method, headers, body, signal, ...(resilience && { resilience }) }
    const promise = request(`${origin}${path}`, { ...options, dispatcher } as Parameters<typeof request>[1])
    if (abortsRightAfter(call)) call.abortNow('dispatch')
    const response = await promise
    status = response.statusCode
    answered = response.headers
    if (unread > 0) await sleep(unread)
    for await (const chunk of response.body) chunks.push(chunk as Buffer)
    return result(true)
  } catch (error) {
    return result(false, error)
  }
}

async function viaFetch(call: Call, dispatcher: Dispatcher, sent: SentRequest): Promise<Result> {
  const { origin, path, headers, body, resilience } = sent
  const { method } = call.plan
  const signal = signalOf(call)
  let status: number | undefined
  let answered: Record<string, unknown> = {}
  const chunks: Uint8Array[] = []
  const result = (complete: boolean, error?: unknown): Result => {
    return { status, headers: answered, body: Buffer.concat(chunks), complete, error, thrown: undefined }
  }
  try {
    if (abortsBefore(call)) call.abortNow('dispatch')
    const init = {
      method,
      headers,
      signal,
      ...(resilience && { resilience }),
      ...(body !== null && { body, duplex: 'half' }),
    } as RequestInit
    const promise = createFetch(dispatcher)(`${origin}${path}`, init)
    if (abortsRightAfter(call)) call.abortNow('dispatch')
    const response = await promise
    status = response.status
    // fetch has decoded the body, but leaves the header.
    answered = { ...Object.fromEntries(response.headers), 'content-encoding': undefined }
    for await (const chunk of response.body ?? []) chunks.push(chunk)
    return result(true)
  } catch (error) {
    return result(false, error)
  }
}
