import { gunzipSync } from 'node:zlib'
import type { Call } from './call.ts'
import { type ChainSpec, holds } from './chain-spec.ts'
import type { Result } from './consumer.ts'
import { nameOfError, rootOf, SoakAbort } from './errors.ts'
import { timesOf } from './plan.ts'
import { lengthHeader, mark, repeated } from './steps.ts'

function textOf({ body, headers, complete }: Result): string | undefined {
  if (headers['content-encoding'] !== 'gzip' || body.length === 0) return body.toString()
  return complete ? gunzipSync(body).toString() : undefined
}

/** Bytes of one arrival, and of no other, from the first on; all of them, if the body is said to be complete. */
function checkBody(call: Call, result: Result): void {
  const { status, headers, complete } = result
  const text = textOf(result)
  if (text === undefined) return
  const bodiless = call.plan.method === 'HEAD' || status === 204 || status === 304
  const length = headers[lengthHeader]
  if (complete && !bodiless && length !== undefined && text.length !== Number(length)) {
    call.mistake(`a body of ${text.length} bytes came to its end, ${String(length)} were meant`)
  }
  if (text === '' || call.plan.cacheable) return
  const { id } = call.plan
  const arrival = /^\[(\d+)\.(\d+)\]/.exec(text)
  if (arrival === null) {
    // A body can break off within the first mark.
    if (!complete && text.length < 24) return
    call.mistake(`the body begins ${JSON.stringify(text.slice(0, 24))}`)
  } else if (Number(arrival[1]) !== id || text !== repeated(mark(id, Number(arrival[2])), text.length)) {
    call.mistake(`bytes that do not belong to arrival ${arrival[0]}: ${JSON.stringify(text.slice(0, 48))}`)
  }
}

/** A call that took too long had a bound to keep; one of its own is told as it was given. */
function checkTimes(call: Call, chain: ChainSpec, error: unknown): void {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: string }
  const { options } = call.plan
  const { deadline, attemptTimeout } = timesOf(options, chain)
  const [bound, own] =
    code === 'ERR_DEADLINE_EXCEEDED'
      ? [deadline, options.deadline]
      : code === 'ERR_ATTEMPT_TIMEOUT'
        ? [attemptTimeout, options.attemptTimeout]
        : [0, undefined]
  if (bound === null) call.mistake(`${code} where there was no such bound: ${message}`)
  if (own !== undefined && message?.includes(`within ${own} ms`) !== true) {
    call.mistake(`${code} where the call said ${own} ms: ${message}`)
  }
}

/** What is wrong with what a caller got; the call is told. Returns a short name for the result. */
export function checkResult(call: Call, chain: ChainSpec, result: Result): string {
  const { status, complete, error, thrown } = result
  const spliced = holds(chain, 'undici retry')
  if (!spliced) checkBody(call, result)
  if (thrown !== undefined && rootOf(error) !== thrown && !spliced) {
    call.mistake(`the consumer threw, and got ${String(rootOf(error))} (${status})`)
  }
  if (complete) {
    if (status === undefined) call.mistake('ended without a status')
    return `${Math.floor((status ?? 0) / 100)}xx`
  }
  if (rootOf(error) instanceof SoakAbort && !call.aborted) call.mistake("got the error of another call's abort")
  checkTimes(call, chain, rootOf(error))
  const name = nameOfError(error)
  if (name !== undefined) return name
  const root = rootOf(error)
  const { code } = (root ?? {}) as { code?: unknown }
  // undici's own redirect and retry send a body again that cannot be sent again: the kit says so.
  if (code === 'ERR_INVALID_REQUEST' && (spliced || holds(chain, 'undici redirect'))) return code
  call.mistake(`an error nobody expects: ${root instanceof Error ? root.stack : String(root)}`)
  return 'unexpected error'
}
