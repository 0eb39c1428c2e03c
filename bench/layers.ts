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
// `npm run bench:layers`: what each layer adds to a call that goes well, on a dispatcher that answers at once, against
// three empty forwarding layers in the same run.
import { parseArgs } from 'node:util'
import { compose, guard, type Layer, rateLimit } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { emptyLayer } from './empty-layer.ts'
import { median } from './statistics.ts'
import { round, StubDispatcher } from './stub.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '41' }, calls: { type: 'string', default: '50000' } },
})
const rounds = Number(values.rounds)
const calls = Number(values.calls)

// More than a stub can be asked in a millisecond.
const ample = { limit: 1e4, window: 1 } as const

/** One row each, as they are by default. */
const layers: Readonly<Record<string, () => Layer>> = {
  'rateLimit, token bucket': () => rateLimit(ample),
  'rateLimit, fixed window': () => rateLimit({ ...ample, algorithm: 'fixedWindow' }),
  'rateLimit, sliding window': () => rateLimit({ ...ample, algorithm: 'slidingWindow' }),
}

/** What somebody has to ask for: measured, and not judged. */
const onRequest: Readonly<Record<string, () => Layer>> = {
  'rateLimit, server headers': () => rateLimit({ ...ample, serverHeaders: true }),
}

const stub = new StubDispatcher()
const bare = stub.dispatch.bind(stub)
// A chain of the kit around the layer: what any chain costs, whatever is in it, is no layer's own.
const ground = guard({ name: 'ground', acquire: () => null })

function chainOf(...parts: Layer[]): Dispatcher['dispatch'] {
  const chain = compose(stub, ...parts)
  return chain.dispatch.bind(chain)
}

const variants = new Map<string, Dispatcher['dispatch']>([
  ['bare', bare],
  ['three empty layers', emptyLayer(emptyLayer(emptyLayer(bare)))],
  ['ground', chainOf(ground)],
  ...Object.entries({ ...layers, ...onRequest }).map(([name, make]) => [name, chainOf(ground, make())] as const),
])

const costs = new Map<string, number[]>()
for (const [name, dispatch] of variants) {
  for (let warm = 0; warm < 4; warm++) round(dispatch, calls)
  costs.set(name, [])
}
const names = [...variants.keys()]
for (let at = 0; at < rounds; at++) {
  // A different one goes first each time, so that none always pays for another's garbage.
  for (let turn = 0; turn < names.length; turn++) {
    const name = names[(at + turn) % names.length] as string
    costs.get(name)?.push(round(variants.get(name) as Dispatcher['dispatch'], calls))
  }
}

// Round by round: a layer is a hundredth of what the machine's other work makes of two rounds far apart.
function added(name: string, to: string): number {
  const ground = costs.get(to) as number[]
  return median((costs.get(name) as number[]).map((cost, at) => cost - (ground[at] as number)))
}

const bar = added('three empty layers', 'bare')

console.log('On a stub dispatcher, microseconds of CPU a call')
console.log(`  three empty forwarding layers    ${bar.toFixed(3)}`)
console.log(`  a chain with nothing in it       ${added('ground', 'bare').toFixed(3)}`)
console.log('What a layer adds to it, and in three empty layers')
let dear = 0
for (const name of [...Object.keys(layers), ...Object.keys(onRequest)]) {
  const cost = added(name, 'ground')
  const isDear = cost > bar && name in layers
  if (isDear) dear++
  console.log(
    `  ${name.padEnd(32)} ${cost.toFixed(3)}  ${(cost / bar).toFixed(2)}${isDear ? '  more than it may' : ''}`,
  )
}
if (dear > 0) process.exitCode = 1
