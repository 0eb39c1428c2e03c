// Run by many-origins.test.ts with --expose-gc: calls many origins once each, and says what the layers know of them then.
// A process of its own, so that nothing else is in its memory.
import { Dispatcher } from 'undici'
import {
  adaptiveLimit,
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  hedge,
  rateLimit,
  retry,
  retryBudget,
  retryThrottle,
} from '../../src/index.ts'

/** How many origins a layer knows, and what of those that were busy from the start it still knows. */
export interface Known {
  readonly origins: number
  readonly busy: number
}

/** One look at all that is remembered. */
export interface Look {
  readonly called: number
  /** In use after collections. */
  readonly bytes: number
  readonly known: Readonly<Record<string, Known>>
}

/** Answers at once by what the path asks for, or never. */
class Upstream extends Dispatcher {
  override dispatch({ path }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = { aborted: false, paused: false, reason: null, abort() {}, pause() {}, resume() {} }
    handler.onRequestStart?.(controller, null)
    if (path === '/held') return true
    handler.onResponseStart?.(controller, path === '/failing' ? 500 : 200, {}, '')
    handler.onResponseEnd?.(controller, {})
    return true
  }
}

const consumer: Dispatcher.DispatchHandler = {
  onRequestStart() {},
  onResponseStart() {},
  onResponseData() {},
  onResponseEnd() {},
  onResponseError() {},
}

const busy = 20
const lasting = 3_600_000
const collectGarbage = globalThis.gc as () => void

// However long the calls take, no window ends.
const begun = performance.now()
performance.now = () => begun

const upstream = new Upstream()
const layers = {
  rateLimit: rateLimit({ limit: 1, window: lasting }),
  circuitBreaker: circuitBreaker({ minimumCalls: 5, openFor: lasting }),
  bulkhead: bulkhead(),
  adaptiveLimit: adaptiveLimit(),
  hedge: hedge(),
  retryBudget: retryBudget({ window: 60_000 }),
  retryThrottle: retryThrottle(),
}
const { retryBudget: budget, retryThrottle: throttle, ...others } = layers
// Each with the state of its own, so that what one refuses another still sees.
const limited = compose(upstream, others.rateLimit)
const broken = compose(upstream, others.circuitBreaker, attemptTimeout(lasting))
const slotted = compose(upstream, others.bulkhead, others.adaptiveLimit)
const hedged = compose(upstream, others.hedge)
const once = { maxAttempts: 2, backoff: 0 } as const
const budgeted = compose(upstream, retry({ ...once, budget }))
const throttled = compose(upstream, retry({ ...once, budget: throttle }))
const all = [limited, broken, slotted, hedged, budgeted, throttled]

function call(dispatcher: Dispatcher, number: number, path: string): void {
  dispatcher.dispatch({ origin: `http://origin-${number}.test`, path, method: 'GET' }, consumer)
}

const isBusy: Readonly<Record<keyof typeof layers, (origin: string) => boolean>> = {
  rateLimit: (origin) => layers.rateLimit.state()[origin]?.queued === 1,
  circuitBreaker: (origin) => layers.circuitBreaker.state()[origin]?.state === 'open',
  bulkhead: (origin) => layers.bulkhead.state()[origin]?.inUse === 1,
  adaptiveLimit: (origin) => layers.adaptiveLimit.state()[origin]?.inUse === 1,
  // It keeps statistics only, which may be forgotten at any time.
  hedge: () => false,
  retryBudget: (origin) => layers.retryBudget.state()[origin]?.granted === 1,
  retryThrottle: (origin) => (layers.retryThrottle.state()[origin]?.granted ?? 0) > 0,
}

const turn = () => new Promise(setImmediate)

async function look(called: number): Promise<Look> {
  const known: Record<string, Known> = {}
  for (const [name, layer] of Object.entries(layers)) {
    const busyOnes = Array.from({ length: busy }, (_, number) => `http://origin-${number}.test`)
    known[name] = {
      origins: Object.keys(layer.state()).length,
      busy: busyOnes.filter(isBusy[name as keyof typeof layers]).length,
    }
  }
  for (let turns = 0; turns < 10; turns++) {
    collectGarbage()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return { called, bytes: heapUsed + external, known }
}

for (let number = 0; number < busy; number++) {
  for (let count = 0; count < 2; count++) call(limited, number, '/')
  for (let count = 0; count < 5; count++) call(broken, number, '/failing')
  call(slotted, number, '/held')
  call(hedged, number, '/')
  call(budgeted, number, '/failing')
  call(throttled, number, '/failing')
}
// The repeats go out after a timer.
const isOver = (origins: Readonly<Record<string, { readonly granted: number }>>) =>
  Object.values(origins).every(({ granted }) => granted === 1)
while (!isOver(layers.retryBudget.state()) || !isOver(layers.retryThrottle.state())) await turn()

const looks: Look[] = []
let called = busy
for (const bound of [2_000, 10_000, 50_000]) {
  for (; called < bound; called++) for (const dispatcher of all) call(dispatcher, called, '/')
  looks.push(await look(called))
}
console.log(JSON.stringify(looks))
process.exit()
