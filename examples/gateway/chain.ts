import {
  attemptTimeout,
  type BalanceLayer,
  balance,
  bulkhead,
  type CanaryLayer,
  type ChainDispatcher,
  canary,
  circuitBreaker,
  compose,
  contextHeaders,
  createAgent,
  deadline,
  retry,
  route,
  tracing,
} from 'roundtripper'
import type { Services } from './services.ts'

/** What the gateway calls with, and the parts of it that tell how things stand. */
export interface GatewayChain {
  readonly chain: ChainDispatcher
  readonly orders: BalanceLayer
  readonly users: BalanceLayer
  readonly catalog: CanaryLayer
}

/** Names in the place of hosts: `/orders` to three that are alike, `/users` three to one, `/catalog` with a canary. */
export function gatewayChain({ ca, orders, users, catalog }: Services, random = Math.random): GatewayChain {
  const ordersGroup = balance({
    name: 'orders',
    hosts: orders.map(({ origin }) => origin),
    algorithm: 'roundRobin', // the default, peakEwma, would hardly call the bad one at all: less to see
    ejection: { consecutiveFailures: 3, ejectionTime: 500 }, // short, so that it comes back while you watch
    slowStart: 1_000,
    random,
  })
  const usersGroup = balance({
    name: 'users',
    hosts: [
      { origin: users[0].origin, weight: 3 },
      { origin: users[1].origin, weight: 1 },
    ],
    algorithm: 'roundRobin',
    random,
  })
  const versions = canary({
    variants: {
      stable: { weight: 90, to: catalog[0].origin },
      next: { weight: 10, to: catalog[1].origin },
    },
    header: 'x-canary', // `x-canary: next` asks for it
    random,
  })

  const chain = compose(
    createAgent({ connect: { ca } }),
    tracing(),
    // The request's id, its trace, the time it has left: to the groups of this name, and to the variants' origins.
    contextHeaders({ origins: ['http://gateway', ...catalog.map(({ origin }) => origin)] }),
    deadline(2_000),
    retry(), // on another host of the group
    route([
      { path: '/orders/*', to: ordersGroup },
      { path: '/users/*', to: usersGroup },
      { path: '/catalog/*', to: versions },
    ]),
    circuitBreaker(), // from here on each host has a state of its own
    bulkhead({ limit: 64 }),
    attemptTimeout(1_000),
  )
  return { chain, orders: ordersGroup, users: usersGroup, catalog: versions }
}
