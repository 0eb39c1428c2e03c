import {
  adaptiveLimit,
  attemptTimeout,
  type BalanceAlgorithm,
  balance,
  bodyTimeout,
  bulkhead,
  canary,
  circuitBreaker,
  classify,
  contextHeaders,
  deadline,
  deduplicate,
  fallback,
  guard,
  hedge,
  type Layer,
  logging,
  mirror,
  type RequestContextFields,
  rateLimit,
  retry,
  route,
  tracing,
} from 'roundtripper'

/** A layer, and the chain that it is put into. */
export interface LayerRow {
  /** From the outermost; `'it'` stands for the layer. */
  readonly chain: readonly ('it' | (() => Layer))[]
  readonly layer: () => Layer
  /**
   * How many empty forwarding layers it may cost.
   * @default 3
   */
  readonly empties?: number
  /** Why it may cost more than the others; then it is measured, and not judged. */
  readonly exempt?: string
  /** The context that all calls are made in, those of the chain without the layer too. */
  readonly context?: RequestContextFields
}

// What any chain costs, whatever is in it, is no layer's own: each has a policy of the user's already.
const ground = () => guard({ name: 'ground', acquire: () => null })

function onGround(layer: () => Layer, exempt?: string): LayerRow {
  return { chain: [ground, 'it'], layer, ...(exempt === undefined ? null : { exempt }) }
}

// More than a stub can be asked in a millisecond.
const ample = { limit: 1e4, window: 1 } as const
// With a policy of the user's in the chain, or with tracing or logging, an attempt is a scope that somebody may look at.
const attempts = 'attempts that somebody looks at are objects'
// Served by one object without the layer that is measured, and with it.
const fixed = () => fallback({ value: {} })
const twoVariants = { stable: { weight: 95 }, canary: { weight: 5 } }
const user = () => 'user-7'
const deaf = { debug: () => undefined, info: () => undefined, warn: () => undefined }

// The one that takes the calls is not the first.
const services = Array.from({ length: 999 }, (_, at) => ({ path: `/service-${at}/items/*`, to: [] }))
const routes = [...services, { path: '/users/:id', methods: ['GET'], to: [] }]
const elsewhere = [...services, { path: '/users/:id', methods: ['GET'], to: 'https://users.example.com' }]

// As one that has come in.
const context: RequestContextFields = {
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  baggage: { user: 'ada' },
  deadline: 3_600_000,
  priority: 'normal',
  tenant: 'acme',
}
const carrying = () => contextHeaders({ origins: ['https://api.example.com'] })
const carriedBy = [retry, bulkhead, attemptTimeout] as const
const sixHeaders = 'it writes six headers'

const hundredHosts = Array.from({ length: 100 }, (_, at) => `https://host-${at}.example.com`)

function balanced(algorithm: BalanceAlgorithm): LayerRow {
  const key = algorithm === 'consistentHash' ? { key: ({ path }: { path: string }) => path } : null
  return onGround(
    () => balance({ hosts: hundredHosts, algorithm, ...key }),
    'to choose a host and to learn from its answer takes as long as some four empty layers',
  )
}

export const layerRows = {
  // It would learn from a stub that there is no server behind it.
  adaptiveLimit: onGround(() => adaptiveLimit({ initialLimit: 1000, minLimit: 1000 })),
  attemptTimeout: onGround(attemptTimeout),
  'balance, 100 hosts, peakEwma': balanced('peakEwma'),
  'balance, 100 hosts, leastLoaded': balanced('leastLoaded'),
  'balance, 100 hosts, roundRobin': balanced('roundRobin'),
  'balance, 100 hosts, consistentHash': balanced('consistentHash'),
  bodyTimeout: onGround(bodyTimeout, 'it reads the clock for each piece of a body'),
  bulkhead: onGround(bulkhead),
  'canary, by chance': onGround(() => canary({ variants: twoVariants })),
  'canary, by header and key': onGround(
    () => canary({ variants: twoVariants, header: 'x-canary', by: user }),
    'it looks through the headers, asks a function and hashes what that says',
  ),
  'canary, another origin': onGround(
    () => canary({ variants: { stable: { weight: 1, to: 'https://b.example.com' } } }),
    'what is kept there for each origin needs a scope of its own',
  ),
  // Without an attempt timeout it would warn: that one's share is in both.
  circuitBreaker: { chain: [ground, 'it', attemptTimeout], layer: circuitBreaker },
  classify: onGround(() => classify(() => undefined)),
  'contextHeaders, no context': onGround(carrying),
  'contextHeaders, one object': { chain: ['it', ...carriedBy], layer: carrying, exempt: sixHeaders, context },
  'contextHeaders, many objects': { ...onGround(carrying, `${sixHeaders}, and the edge checks them`), context },
  'contextHeaders, to no origin': {
    ...onGround(() => contextHeaders({ origins: [] }), 'it starts a clock of its own'),
    context,
  },
  deadline: onGround(deadline),
  deduplicate: onGround(deduplicate, "undici's own, which writes down each request to compare it"),
  'fallback, one object': { chain: ['it', retry, bulkhead], layer: fixed },
  'fallback, many objects': onGround(fixed, attempts),
  // An attempt timeout belongs below it: one clock runs in any case then.
  'hedge, one object': { chain: [fixed, 'it', bulkhead, attemptTimeout], layer: hedge },
  'hedge, many objects': onGround(hedge, attempts),
  'logging, level off': onGround(() => logging({ logger: { ...deaf, isLevelEnabled: () => false } })),
  'logging, a record each': onGround(() => logging({ logger: deaf }), 'it makes the record'),
  'mirror, share 0': onGround(() => mirror({ to: 'https://b.example.com', share: 0 })),
  'rateLimit, token bucket': onGround(() => rateLimit(ample)),
  'rateLimit, fixed window': onGround(() => rateLimit({ ...ample, algorithm: 'fixedWindow' })),
  'rateLimit, sliding window': onGround(() => rateLimit({ ...ample, algorithm: 'slidingWindow' })),
  'rateLimit, server headers': onGround(() => rateLimit({ ...ample, serverHeaders: true })),
  'retry, one object': { chain: [fixed, 'it', bulkhead], layer: retry },
  'retry, many objects': onGround(retry, attempts),
  'route, 1,000 routes': onGround(() => route(routes), 'to find one of 1,000 takes as long as some six empty layers'),
  'route, another origin': onGround(
    () => route(elsewhere),
    'a call that goes to another origin has a scope of its own',
  ),
  'route and balance': {
    ...onGround(() =>
      route([...services, { path: '/users/:id', methods: ['GET'], to: balance({ hosts: hundredHosts }) }]),
    ),
    empties: 6,
  },
  'tracing, no SDK': onGround(tracing),
} satisfies Record<string, LayerRow>

export type LayerName = keyof typeof layerRows
