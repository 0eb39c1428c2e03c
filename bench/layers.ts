// `npm run bench:layers`: what each layer adds to a call that goes well, on a dispatcher that answers at once, against
// three empty forwarding layers in the same run.
import { parseArgs } from 'node:util'
import {
  adaptiveLimit,
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  guard,
  type Layer,
  rateLimit,
} from 'roundtripper'
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
  adaptiveLimit: () => adaptiveLimit(),
  attemptTimeout: () => attemptTimeout(),
  bulkhead: () => bulkhead(),
  circuitBreaker: () => circuitBreaker(),
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
