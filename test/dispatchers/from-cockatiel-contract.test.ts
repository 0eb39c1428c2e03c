// The handler contract, with a cockatiel policy as the layer: alone, and with the kit's own layers around and inside.
import * as cockatiel from 'cockatiel'
import { compose, fromCockatiel, type Layer, retry, standard, tracing } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Books } from '../contract/books.ts'
import { type Ground, openGround, versions } from '../contract/ground.ts'
import { mistakesOf, play } from '../contract/play.ts'
import { failures } from './from-cockatiel-fixtures.ts'

const twice = () => cockatiel.retry(failures, { maxAttempts: 1, backoff: new cockatiel.ConstantBackoff(1) })
const calm = () =>
  cockatiel.circuitBreaker(failures, { halfOpenAfter: 1_000, breaker: new cockatiel.ConsecutiveBreaker(1e6) })
const long = () => cockatiel.timeout(60_000, cockatiel.TimeoutStrategy.Aggressive)

/** Fewer slots than calls; all must be free in the end. */
function slots(books: Books, places = 1_000): cockatiel.BulkheadPolicy {
  const policy = cockatiel.bulkhead(6, places)
  books.check(() => (policy.executionSlots === 6 ? null : `bulkhead: ${policy.executionSlots} slots of 6 are free`))
  return policy
}

const rows: readonly { readonly name: string; readonly make: (books: Books) => Layer[] }[] = [
  { name: 'noop', make: () => [fromCockatiel(cockatiel.noop)] },
  { name: 'retry', make: () => [fromCockatiel(twice())] },
  { name: 'circuitBreaker', make: () => [fromCockatiel(calm())] },
  { name: 'timeout', make: () => [fromCockatiel(long())] },
  { name: 'bulkhead', make: (books) => [fromCockatiel(slots(books))] },
  {
    name: 'wrap(retry, circuitBreaker, bulkhead, timeout)',
    make: (books) => [fromCockatiel(cockatiel.wrap(twice(), calm(), slots(books), long()))],
  },
  {
    name: 'wrap(bulkhead, retry) of each origin',
    make: (books) => [fromCockatiel(() => cockatiel.wrap(slots(books), twice()))],
  },
  {
    name: 'policies below policies',
    make: (books) => [fromCockatiel(twice()), fromCockatiel(slots(books)), fromCockatiel(long())],
  },
  {
    name: "the kit's retry above, its standard chain below",
    make: (books) =>
      [
        tracing({ tracerProvider: books.tracerProvider() }),
        retry({ maxAttempts: 2, backoff: 1 }),
        fromCockatiel(cockatiel.wrap(twice(), slots(books))),
        standard({ tracing: false, retry: false }),
      ].flat(),
  },
]

describe.each(versions)('the handler contract over $title', ({ version, title }) => {
  let ground: Ground
  beforeAll(async () => {
    ground = await openGround(version)
  })
  afterAll(() => ground.close())

  async function mistakes(make: (books: Books) => Dispatcher): Promise<string[]> {
    const books = new Books()
    const dispatcher = make(books)
    const all = await play(dispatcher, ground)
    await dispatcher.close()
    return mistakesOf(all, ground, books)
  }

  for (const { name, make } of rows) {
    it(`45, 46, 47: ${name}, composed (${title})`, async () => {
      expect(await mistakes((books) => compose(ground.transport, make(books)))).toEqual([])
    })

    it(`45, 47, 48: ${name}, in agent.compose (${title})`, async () => {
      expect(await mistakes((books) => ground.transport.compose(make(books).reverse()))).toEqual([])
    })
  }
})
