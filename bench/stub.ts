// What the layers themselves cost: a dispatcher that answers at once, no socket anywhere.

import { compose, standard } from 'roundtripper'
import { Dispatcher } from 'undici'
import { emptyLayer } from './empty-layer.ts'
import { median } from './statistics.ts'

const headers = { 'content-type': 'application/json', 'content-length': '11' }
const chunk = Buffer.from('{"ok":true}')
const trailers = {}

export class StubController implements Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  rawHeaders = headers
  rawTrailers = trailers
  abort(): void {}
  pause(): void {}
  resume(): void {}
}

/** 200 with eleven bytes of JSON. */
export function tellAnswer(handler: Dispatcher.DispatchHandler, controller: StubController): void {
  handler.onRequestStart?.(controller, null)
  handler.onResponseStart?.(controller, 200, headers, 'OK')
  handler.onResponseData?.(controller, chunk)
  handler.onResponseEnd?.(controller, trailers)
}

/** Answers each request at once. */
export class StubDispatcher extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    tellAnswer(handler, new StubController())
    return true
  }

  override close(): Promise<void> {
    return Promise.resolve()
  }

  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

let ended = 0

export class Consumer implements Dispatcher.DispatchHandler {
  bytes = 0
  onRequestStart(): void {}
  onResponseStart(): void {}
  onResponseData(_controller: unknown, data: Buffer): void {
    this.bytes += data.length
  }
  onResponseEnd(): void {
    ended++
  }
  onResponseError(_controller: unknown, error: Error): void {
    throw error
  }
}

type Variant = 'bare' | 'empty' | 'chain' | 'tracing'

function variants(): Record<Variant, Dispatcher['dispatch']> {
  const stub = new StubDispatcher()
  const bare = stub.dispatch.bind(stub)
  const chain = compose(stub, standard({ tracing: false }))
  const withTracing = compose(stub, standard())
  let empty = bare
  for (let count = 0; count < 7; count++) empty = emptyLayer(empty)
  return {
    bare,
    empty,
    chain: chain.dispatch.bind(chain),
    tracing: withTracing.dispatch.bind(withTracing),
  }
}

/** Microseconds of CPU a call. */
export function round(dispatch: Dispatcher['dispatch'], calls: number): number {
  const before = process.cpuUsage()
  for (let call = 0; call < calls; call++) {
    dispatch({ origin: 'https://api.example.com', path: '/users', method: 'GET', headers: null }, new Consumer())
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

/** Microseconds of CPU a call, medians over alternating rounds. */
export interface StubResult {
  readonly bare: number
  readonly empty: number
  readonly chain: number
  readonly tracing: number
  /** What tracing adds to the chain, round by round. */
  readonly tracingAdds: number
}

export function benchStub(rounds: number, calls: number): StubResult {
  const dispatches = variants()
  const names = Object.keys(dispatches) as Variant[]
  const costs: Record<Variant, number[]> = { bare: [], empty: [], chain: [], tracing: [] }
  for (const name of names) round(dispatches[name], calls)
  for (let at = 0; at < rounds; at++) {
    // A different one goes first each time, so that none always pays for another's garbage.
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(at + turn) % names.length] as Variant
      costs[name].push(round(dispatches[name], calls))
    }
  }
  if (ended === 0) throw new Error('no call came to its end')
  return {
    bare: median(costs.bare),
    empty: median(costs.empty),
    chain: median(costs.chain),
    tracing: median(costs.tracing),
    // It is a hundredth of either: the difference of their medians would be that of two rounds far apart.
    tracingAdds: median(costs.tracing.map((cost, at) => cost - (costs.chain[at] as number))),
  }
}
