// What a chain says it is made of.

import { noop } from 'cockatiel'
import {
  adaptiveLimit,
  attemptTimeout,
  balance,
  bodyTimeout,
  bulkhead,
  circuitBreaker,
  classify,
  compose,
  createAgent,
  deduplicate,
  fallback,
  fromCockatiel,
  guard,
  hedge,
  type LayerDescription,
  logging,
  rateLimit,
  retry,
  retryBudget,
  standard,
  standardDefaults,
} from 'roundtripper'
import { Agent, interceptors } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

function optionsOf(described: readonly LayerDescription[], layer: string) {
  return described.find((one) => one.layer === layer)?.options
}

function agent() {
  const made = createAgent()
  onTestFinished(() => made.destroy())
  return made
}

it('a chain lists its layers from the outermost, with what they go by, and what is below', () => {
  const described = compose(
    agent(),
    standard({ deadline: 9000, retry: { maxAttempts: 2, backoff: { jitter: 'full' } } }),
  ).describe()
  expect(described.map(({ layer }) => layer)).toEqual([
    'tracing',
    'deadline',
    'retry',
    'circuitBreaker',
    'bulkhead',
    'attemptTimeout',
    'bodyTimeout',
    'PoolAgent',
  ])
  const { retry: retryDefault } = standardDefaults
  expect(optionsOf(described, 'deadline')).toEqual({ duration: 9000 })
  expect(optionsOf(described, 'attemptTimeout')).toEqual({ duration: 3000 })
  expect(optionsOf(described, 'retry')).toEqual({
    ...retryDefault,
    maxAttempts: 2,
    backoff: { ...retryDefault.backoff, jitter: 'full' },
  })
  expect(optionsOf(described, 'bulkhead')).toEqual(standardDefaults.bulkhead)
  expect(optionsOf(described, 'circuitBreaker')).toMatchObject({
    failureShare: 0.5,
    openFor: 5000,
    random: 'function random',
  })
})

it('what was changed while running is what is told', () => {
  const slots = bulkhead({ limit: 2 })
  const breaker = circuitBreaker()
  const hedging = hedge({ delay: 10 })
  const quota = rateLimit({ limit: 5 })
  const limit = adaptiveLimit()
  const chain = compose(agent(), quota, hedging, breaker, slots, limit, attemptTimeout(5))
  slots.update({ limit: 7 })
  breaker.update({ openFor: 77 })
  hedging.update({ maxHedges: 2, percentile: false })
  quota.update({ limit: 6 })
  limit.update({ maxLimit: 60 })
  const described = chain.describe()
  expect(optionsOf(described, 'bulkhead')).toMatchObject({ limit: 7, queue: 1024, unreadBodyTimeout: 30_000 })
  expect(optionsOf(described, 'circuitBreaker')).toMatchObject({ openFor: 77 })
  expect(optionsOf(described, 'hedge')).toMatchObject({ delay: 10, maxHedges: 2, percentile: false })
  expect(optionsOf(described, 'rateLimit')).toMatchObject({ limit: 6, algorithm: 'tokenBucket' })
  expect(optionsOf(described, 'adaptiveLimit')).toMatchObject({ maxLimit: 60, minLimit: 1 })
})

it('it is plain data: what is none is told by a word', () => {
  const logger = { debug() {}, info() {}, warn() {} }
  const judge = () => undefined
  const ground = compose(new Agent(), bodyTimeout(7))
  onTestFinished(() => ground.destroy())
  const chain = compose(
    ground,
    logging({ logger, unreadBodyTimeout: false }),
    deduplicate({ methods: ['GET', 'HEAD'] }),
    classify(judge),
    fallback({
      respond: async function later() {
        return undefined
      },
    }),
    retry({ budget: retryBudget({ share: 1 }) }),
    fromCockatiel(noop),
    guard({ name: 'mine', acquire: () => null }),
    interceptors.responseError(),
    balance({ hosts: [{ origin: new URL('http://127.0.0.1:9'), weight: 2 }], ejection: false }),
  )
  const described = chain.describe()
  expect(JSON.parse(JSON.stringify(described))).toEqual(described)
  expect(optionsOf(described, 'logging')).toEqual({
    logger: { debug: 'function debug', info: 'function info', warn: 'function warn' },
    unreadBodyTimeout: false,
  })
  expect(optionsOf(described, 'deduplicate')).toMatchObject({ methods: ['GET', 'HEAD'], maxBufferSize: 5_242_880 })
  expect(optionsOf(described, 'classify')).toEqual({ judge: 'function judge' })
  expect(optionsOf(described, 'fallback')).toEqual({ respond: 'function later', replayLimit: 1_048_576 })
  expect(optionsOf(described, 'balance')).toMatchObject({
    hosts: [{ origin: 'http://127.0.0.1:9/', weight: 2 }],
    ejection: false,
  })
  expect(described.map(({ layer }) => layer).slice(-3)).toEqual(['balance', 'bodyTimeout', 'Agent'])
  expect(described).toContainEqual({ layer: 'fromCockatiel' })
  expect(described).toContainEqual({ layer: 'guard(mine)' })
  expect(optionsOf(described, 'retry')).toHaveProperty('budget', expect.stringMatching(/^an instance of \w+$/))
})
