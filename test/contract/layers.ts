// Every layer of the kit, as one row of the contract table each.
import {
  adaptiveLimit,
  attemptTimeout,
  balance,
  bodyTimeout,
  bulkhead,
  canary,
  circuitBreaker,
  classify,
  contextHeaders,
  deadline,
  fallback,
  guard,
  hedge,
  type Layer,
  type Logger,
  logging,
  mirror,
  rateLimit,
  retry,
  retryBudget,
  route,
  standard,
  standardHedging,
  tracing,
} from 'roundtripper'
import { Dispatcher } from 'undici'
import type { Books } from './books.ts'

/** One row: makes the layer anew, and enters what it holds into the books. */
export interface LayerKind {
  readonly name: string
  readonly make: (books: Books) => readonly Layer[]
}

const ignore = () => {}
const allLevels: Logger = { debug: ignore, info: ignore, warn: ignore }

/** Two attempts, and no wait that a test would feel. What the scenarios repeat is more than a budget would allow. */
const quickRetry = { maxAttempts: 2, backoff: 1, budget: false } as const

/** Sends a second time before some answers are there. */
const quickHedge = { delay: 5, percentile: false, budget: false } as const

function racing(books: Books): Layer {
  books.attemptsRace = true
  return hedge(quickHedge)
}

// Fewer slots than calls, so that most of them wait.
const slots = { limit: 6, queue: 1000 } as const

function countedBulkhead(books: Books): Layer {
  const layer = bulkhead(slots)
  books.check(() => {
    const busy = Object.values(layer.state()).filter(({ inUse, queued }) => inUse + queued > 0)
    return busy.length === 0 ? null : `bulkhead: ${JSON.stringify(layer.state())}`
  })
  return layer
}

// It never has to refuse: what is asked is whether all slots come back.
function countedLimit(books: Books): Layer {
  const layer = adaptiveLimit({ initialLimit: 1000, minLimit: 1000 })
  books.check(() => {
    const busy = Object.values(layer.state()).some(({ inUse }) => inUse > 0)
    return busy ? `adaptiveLimit: ${JSON.stringify(layer.state())}` : null
  })
  return layer
}

// Slow enough that some calls wait, quick enough that no scenario is long over it.
function countedRateLimit(books: Books): Layer {
  const layer = rateLimit({ limit: 20, window: 10, burst: 4, queue: 1000, serverHeaders: true })
  books.check(() => {
    const busy = Object.values(layer.state()).filter(({ queued, refused }) => queued + refused > 0)
    return busy.length === 0 ? null : `rateLimit: ${JSON.stringify(layer.state())}`
  })
  return layer
}

// Never opens by what the scenarios do.
const calm = { minimumCalls: 1e6 } as const

function calmBreaker(books: Books): Layer {
  const layer = circuitBreaker(calm)
  books.check(() => {
    const open = Object.values(layer.state()).some(({ state }) => state !== 'closed')
    return open ? `circuitBreaker: ${JSON.stringify(layer.state())}` : null
  })
  return layer
}

const passing: Layer = (dispatch) => (opts, handler) => dispatch(opts, handler)

// Both variants go where the call says: what happens must not hang on the choice.
function countedCanary(books: Books): Layer {
  const layer = canary({
    variants: { stable: { weight: 1 }, canary: { weight: 1, to: [classify(() => undefined)] } },
    by: ({ path }) => path,
  })
  books.check(() => {
    const busy = Object.values(layer.state()).flatMap((view) => Object.values(view))
    return busy.every(({ inUse }) => inUse === 0) ? null : `canary: ${JSON.stringify(layer.state())}`
  })
  return layer
}

// One host, which is never ejected: what is asked is whether all calls to it come to their end.
function countedBalance(books: Books): Layer {
  const layer = balance({ hosts: [books.origin], ejection: false })
  books.check(() => {
    const busy = Object.values(layer.state()).some(({ inFlight }) => inFlight > 0)
    return busy ? `balance: ${JSON.stringify(layer.state())}` : null
  })
  return layer
}

/** Takes whatever it is sent, and fails a turn later. */
class Failing extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    setImmediate(() => handler.onResponseError?.(null as never, new Error('the copy failed')))
    return true
  }
}

// Past what is below: what a copy holds there is not the call's, and may come back later.
function silentMirror(): Layer {
  return mirror({ to: new Failing(), methods: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'POST', 'DELETE', 'PATCH'] })
}

export const layerKinds: readonly LayerKind[] = [
  { name: 'tracing', make: (books) => [tracing({ tracerProvider: books.tracerProvider() })] },
  { name: 'logging', make: () => [logging({ logger: allLevels })] },
  { name: 'classify', make: () => [classify(() => undefined)] },
  { name: 'deadline', make: () => [deadline()] },
  { name: 'contextHeaders', make: () => [contextHeaders({ origins: () => true })] },
  { name: 'attemptTimeout', make: () => [attemptTimeout()] },
  { name: 'bodyTimeout', make: () => [bodyTimeout()] },
  { name: 'retry', make: () => [retry(quickRetry)] },
  { name: 'retry (budget)', make: () => [retry({ ...quickRetry, budget: retryBudget({ share: 1000 }) })] },
  { name: 'hedge', make: (books) => [racing(books)] },
  { name: 'fallback', make: () => [fallback({ respond: () => undefined })] },
  {
    name: 'route',
    // One way with a layer of its own, one with a foreign one, and one that is what is below.
    make: (books) => [
      route(
        [
          { path: '/:word', methods: ['GET', 'HEAD'], to: [guard(books.admits())], name: 'one segment' },
          { path: '/odd/*', to: [passing] },
        ],
        { fallback: [] },
      ),
    ],
  },
  { name: 'balance', make: (books) => [countedBalance(books)] },
  { name: 'circuitBreaker', make: (books) => [calmBreaker(books)] },
  { name: 'circuitBreaker (shadow)', make: () => [circuitBreaker({ consecutiveFailures: 1, shadow: true })] },
  { name: 'bulkhead', make: (books) => [countedBulkhead(books)] },
  { name: 'bulkhead (shadow)', make: () => [bulkhead({ limit: 1, queue: 0, shadow: true })] },
  { name: 'adaptiveLimit', make: (books) => [countedLimit(books)] },
  { name: 'rateLimit', make: (books) => [countedRateLimit(books)] },
  { name: 'canary', make: (books) => [countedCanary(books)] },
  { name: 'mirror', make: () => [silentMirror()] },
  { name: 'guard', make: (books) => [guard(books.admits())] },
  { name: 'guard (promise)', make: (books) => [guard(books.waits())] },
  {
    // Untraced and unlogged: one object serves a call while all goes well.
    name: 'standard (fused)',
    make: () => standard({ tracing: false, retry: quickRetry, circuitBreaker: calm, bulkhead: slots }),
  },
  {
    name: 'standard in a context (fused)',
    make: () => [
      contextHeaders({ origins: () => true }),
      ...standard({ tracing: false, retry: quickRetry, circuitBreaker: calm, bulkhead: slots }),
    ],
  },
  {
    name: 'standardHedging',
    make: (books) => {
      books.attemptsRace = true
      const tracing = { tracerProvider: books.tracerProvider() }
      return standardHedging({ tracing, hedge: quickHedge, circuitBreaker: calm, bulkhead: slots })
    },
  },
  {
    name: 'standard',
    make: (books) =>
      standard({
        tracing: { tracerProvider: books.tracerProvider() },
        logging: { logger: allLevels },
        retry: quickRetry,
        circuitBreaker: calm,
        bulkhead: slots,
      }),
  },
]
