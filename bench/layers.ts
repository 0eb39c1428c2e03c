// What each layer adds to a call that goes well: `npm run bench:layers`. A dispatcher without sockets answers some hundred
// calls at once, a moment after they came. Beside it: three layers that only pass on.

import { adaptiveLimit, attemptTimeout, bulkhead, circuitBreaker, compose, type Layer } from 'roundtripper'
import { Dispatcher } from 'undici'
import { emptyLayer } from './empty-layer.ts'
import { median } from './statistics.ts'

const headers = { 'content-type': 'application/json', 'content-length': '11' }
const chunk = Buffer.from('{"ok":true}')
const trailers = {}
const atOnce = 500
const rounds = 15
const roundCalls = 20_000

class Controller implements Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  rawHeaders = headers
  rawTrailers = trailers
  abort(): void {}
  pause(): void {}
  resume(): void {}
}

class LaterDispatcher extends Dispatcher {
  private readonly handlers: Dispatcher.DispatchHandler[] = []
  private readonly controllers: Controller[] = []

  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = new Controller()
    this.handlers.push(handler)
    this.controllers.push(controller)
    handler.onRequestStart?.(controller, null)
    return true
  }

  answerAll(): void {
    for (const [at, handler] of this.handlers.entries()) {
      const controller = this.controllers[at] as Controller
      handler.onResponseStart?.(controller, 200, headers, 'OK')
      handler.onResponseData?.(controller, chunk)
      handler.onResponseEnd?.(controller, trailers)
    }
    this.handlers.length = 0
    this.controllers.length = 0
  }
}

let ended = 0

class Consumer implements Dispatcher.DispatchHandler {
  onRequestStart(): void {}
  onResponseStart(): void {}
  onResponseData(): void {}
  onResponseEnd(): void {
    ended++
  }
  onResponseError(_controller: unknown, error: Error): void {
    throw error
  }
}

const stub = new LaterDispatcher()

function chainOf(...layers: Layer[]): Dispatcher['dispatch'] {
  const chain = compose(stub, ...layers)
  return chain.dispatch.bind(chain)
}

const bare = stub.dispatch.bind(stub)
const dispatches: Readonly<Record<string, Dispatcher['dispatch']>> = {
  bare,
  'three empty layers': emptyLayer(emptyLayer(emptyLayer(bare))),
  'chain without layers': chainOf(),
  bulkhead: chainOf(bulkhead({ limit: atOnce })),
  'breaker, timeout': chainOf(circuitBreaker(), attemptTimeout()),
  adaptiveLimit: chainOf(adaptiveLimit({ initialLimit: 1000, minLimit: 1000 })),
}

function round(dispatch: Dispatcher['dispatch']): number {
  const before = process.cpuUsage()
  for (let calls = 0; calls < roundCalls; calls += atOnce) {
    for (let call = 0; call < atOnce; call++) {
      dispatch({ origin: 'https://api.example.com', path: '/users', method: 'GET', headers: null }, new Consumer())
    }
    stub.answerAll()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / roundCalls
}

const names = Object.keys(dispatches)
const costs = new Map<string, number[]>(names.map((name) => [name, []]))
for (let at = -2; at < rounds; at++) {
  for (let turn = 0; turn < names.length; turn++) {
    // A different one goes first each time, so that none always pays for another's garbage.
    const name = names[(at + 2 + turn) % names.length] as string
    const cost = round(dispatches[name] as Dispatcher['dispatch'])
    if (at >= 0) costs.get(name)?.push(cost)
  }
}
if (ended === 0) throw new Error('no call came to its end')

const cost = (name: string) => median(costs.get(name) as number[])
const most = cost('three empty layers') - cost('bare')
console.log(
  `three empty layers add ${most.toFixed(2)} us to a call; a chain without layers ${(cost('chain without layers') - cost('bare')).toFixed(2)} us`,
)
for (const name of names.slice(3)) {
  const added = cost(name) - cost('chain without layers')
  console.log(
    `${name.padEnd(16)} adds ${added.toFixed(2)} us; the chain of it costs ${(cost(name) - cost('bare')).toFixed(2)} us`,
  )
}
