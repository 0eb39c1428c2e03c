// Hedged calls over a transport that answers by chance, on a virtual clock: whatever happens, the bounds hold.
import fc from 'fast-check'
import { bulkhead, compose, deadline, hedge, retry } from 'roundtripper'
import { Dispatcher } from 'undici'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { breachOf, Consumer } from '../contract/consumer.ts'

const trailers = {}

/** What one request comes to: a status, an error, or nothing at all; after so many milliseconds. */
interface Planned {
  readonly result: 200 | 404 | 429 | 503 | 'error' | 'never'
  readonly after: number
}

class Request implements Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  rawHeaders = []
  rawTrailers = []
  ended = false
  readonly #handler: Dispatcher.DispatchHandler
  readonly #timer: NodeJS.Timeout

  constructor(handler: Dispatcher.DispatchHandler, { result, after }: Planned) {
    this.#handler = handler
    this.#timer = setTimeout(() => this.#answer(result), after)
    handler.onRequestStart?.(this, null)
  }

  #answer(result: Planned['result']): void {
    if (result === 'never' || this.aborted) return
    if (result === 'error') {
      this.ended = true
      this.#handler.onResponseError?.(this, new Error('lost'))
      return
    }
    this.#handler.onResponseStart?.(this, result, { 'x-number': String(result) })
    if (!this.aborted) this.#handler.onResponseData?.(this, Buffer.from(`${result}`))
    if (this.aborted) return
    this.ended = true
    this.#handler.onResponseEnd?.(this, trailers)
  }

  abort(reason: Error): void {
    if (this.ended) return
    clearTimeout(this.#timer)
    this.aborted = true
    this.ended = true
    this.#handler.onResponseError?.(this, reason)
  }

  pause(): void {}
  resume(): void {}
}

class Transport extends Dispatcher {
  readonly requests: Request[] = []
  readonly #plans: readonly Planned[]

  constructor(plans: readonly Planned[]) {
    super()
    this.#plans = plans
  }

  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const plan = this.#plans[this.requests.length % this.#plans.length] as Planned
    this.requests.push(new Request(handler, plan))
    return true
  }

  override close(): Promise<void> {
    return Promise.resolve()
  }
}

const planned: fc.Arbitrary<Planned> = fc.record({
  result: fc.constantFrom<Planned['result']>(200, 404, 429, 503, 'error', 'never'),
  after: fc.integer({ min: 0, max: 60 }),
})

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  vi.advanceTimersByTime(1)
})
afterEach(() => {
  vi.useRealTimers()
})

it('31, 45, 47: never more sends than allowed, exactly one answer, every slot back, no request left over', async () => {
  const settings = fc.record({
    plans: fc.array(planned, { minLength: 1, maxLength: 8 }),
    maxHedges: fc.integer({ min: 0, max: 4 }),
    delay: fc.integer({ min: 1, max: 40 }),
    limit: fc.integer({ min: 1, max: 3 }),
    calls: fc.integer({ min: 1, max: 4 }),
    retries: fc.constantFrom(0, 1, 2),
    above: fc.boolean(),
    abortAfter: fc.option(fc.integer({ min: 0, max: 80 }), { nil: undefined }),
    marked: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(
      settings,
      async ({ plans, maxHedges, delay, limit, calls, retries, above, abortAfter, marked }) => {
        const transport = new Transport(plans)
        const slots = bulkhead({ limit, queue: 100 })
        const hedging = hedge({ delay, maxHedges, percentile: false, budget: false })
        const retrying = retries > 0 && retry({ maxAttempts: retries + 1, backoff: 5, budget: false })
        const layers = above ? [retrying, hedging] : [hedging, retrying]
        const chain = compose(transport, deadline(500), ...layers, slots)
        const consumers = Array.from({ length: calls }, () => new Consumer({}))
        const method = marked ? 'GET' : 'POST'
        for (const consumer of consumers) chain.dispatch({ origin: 'http://a.test', path: '/', method }, consumer)
        if (abortAfter !== undefined) {
          setTimeout(() => consumers[0]?.controller?.abort(new Error('given up')), abortAfter)
        }
        await vi.advanceTimersByTimeAsync(2000)

        for (const { events } of consumers) expect(breachOf(events)).toBeNull()
        for (const { events } of consumers) expect(['end', 'error']).toContain(events.at(-1))
        expect(transport.requests.length).toBeLessThanOrEqual(calls * (marked ? 1 + maxHedges + retries : 1))
        expect(slots.state()['http://a.test']).toMatchObject({ inUse: 0, queued: 0 })
        expect(transport.requests.filter(({ ended }) => !ended)).toEqual([])
        await chain.close()
      },
    ),
    { numRuns: 300, verbose: true },
  )
})

it('31: of ten thousand origins a thousand are remembered', () => {
  const layer = hedge({ percentile: false })
  const chain = compose(new Transport([{ result: 200, after: 1 }]), layer)
  for (let number = 0; number < 10_000; number++) {
    chain.dispatch({ origin: `http://${number}.test`, path: '/', method: 'GET' }, new Consumer())
  }
  vi.advanceTimersByTime(10)
  expect(Object.keys(layer.state())).toHaveLength(1000)
})
