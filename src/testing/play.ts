import type { OutgoingHttpHeaders } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Recording } from './recorded-request.ts'
import type { Reply } from './reply.ts'
import type { Body, BodyPart, Echo, StepOptions } from './step.ts'
import { callersRead } from './turns.ts'

const filling = Buffer.alloc(1024, 'x')
const internalError = 2
const echoTextBytes = 64 * 1024

function echoOf(request: Recording): string {
  const { method, path, protocol, headers, body, bodyLength, bodySha256 } = request
  const echo: Echo = {
    method,
    path,
    protocol,
    headers: headers as Echo['headers'],
    bodyLength,
    bodySha256,
    body: body.subarray(0, echoTextBytes).toString(),
  }
  return JSON.stringify(echo)
}

/** What breaks the body off after a part of it, if anything. */
function bodyFault(step: StepOptions, request: Recording, reply: Reply): (() => void) | undefined {
  const breaking = (act: () => void) => () => {
    request.faulted = true
    act()
  }
  if (step.reset === 'in-body') return breaking(() => reply.reset(step.resetCode ?? internalError))
  if (step.destroySession === 'in-body') return breaking(() => reply.destroyConnection())
  if (step.cut) return breaking(() => reply.cut())
  if (step.hang === 'body') return () => {}
  return undefined
}

async function pause(milliseconds: number, request: Recording): Promise<void> {
  const over = new AbortController()
  await Promise.race([sleep(milliseconds, undefined, { signal: over.signal }).catch(() => {}), request.closed])
  over.abort()
}

function headersOf(step: StepOptions, request: Recording): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {}
  if (step.echo) headers['content-type'] = 'application/json'
  if (step.retryAfter !== undefined) headers['retry-after'] = String(step.retryAfter)
  for (const [name, value] of Object.entries(step.headers ?? {})) {
    headers[request.protocol === '2' ? name.toLowerCase() : name] = value as string | number | string[]
  }
  return headers
}

function isParts(body: Body): body is Iterable<BodyPart> | AsyncIterable<string | Uint8Array> {
  return typeof body !== 'string' && !(body instanceof Uint8Array)
}

function bodyOf(step: StepOptions, request: Recording, broken: boolean): Body {
  if (step.echo) return echoOf(request)
  const { body = '' } = step
  return broken && !isParts(body) && body.length === 0 ? filling : body
}

/** Plays a step against one request. */
export async function play(step: StepOptions, request: Recording, reply: Reply): Promise<void> {
  if (reply.closed) return
  if (step.refuse) {
    request.faulted = true
    return reply.refuse()
  }
  if (step.goaway !== undefined && !reply.goaway(step.goaway)) {
    request.faulted = true
    return request.settle(false, undefined)
  }
  if (step.waitForBody !== false && !reply.tunnels && !request.complete) await request.received
  if (step.hold !== undefined) await Promise.race([step.hold, request.closed])
  if (step.delay !== undefined && step.delay > 0) await pause(step.delay, request)
  if (reply.closed) return
  if (step.destroySession === 'before-head') {
    request.faulted = true
    return reply.destroyConnection()
  }
  if (step.reset === 'before-head') {
    request.faulted = true
    return reply.reset(step.resetCode ?? internalError)
  }
  for (const { status = 103, headers = {} } of step.early ?? []) reply.early(status, headers)
  if (step.hang === 'head') return
  await playHeadAndBody(step, request, reply)
}

async function playHeadAndBody(step: StepOptions, request: Recording, reply: Reply): Promise<void> {
  const { status = 200, trailers, bodyDelay = 0 } = step
  const headers = headersOf(step, request)
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  if (reply.tunnels && (status === 101 || (request.method === 'CONNECT' && status < 300))) {
    reply.head(status, headers, undefined)
    return reply.tunnel()
  }
  const bodyless = request.method === 'HEAD' || status === 204 || status === 304
  // Without a body the head is the whole answer: there is nothing to hang in.
  const fault = bodyless && step.hang === 'body' ? undefined : bodyFault(step, request, reply)
  const body = bodyOf(step, request, fault !== undefined)
  const whole = isParts(body) ? undefined : Buffer.from(body)
  if (whole !== undefined && trailers === undefined && status !== 204 && !names.has('content-length')) {
    headers['content-length'] = whole.length
  }
  if (fault === undefined && (bodyless || (whole !== undefined && trailers === undefined && bodyDelay === 0))) {
    return reply.answer(status, headers, bodyless ? undefined : whole)
  }
  reply.head(status, headers, trailers)
  if (!bodyless) {
    const part = whole === undefined || fault === undefined ? whole : whole.subarray(0, whole.length >> 1)
    await writeParts(part === undefined ? (body as Iterable<BodyPart>) : [part], bodyDelay, request, reply)
  }
  if (reply.closed) return
  if (fault !== undefined) {
    await callersRead()
    return fault()
  }
  reply.end()
}

async function writeParts(
  parts: Iterable<BodyPart> | AsyncIterable<unknown>,
  bodyDelay: number,
  request: Recording,
  reply: Reply,
): Promise<void> {
  for await (const part of parts) {
    if (bodyDelay > 0) await pause(bodyDelay, request)
    if (reply.closed) return
    if ((typeof part === 'string' || part instanceof Uint8Array) && part.length > 0)
      await Promise.race([reply.write(part), request.closed])
  }
}
