import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AimdLimit } from '../../src/policies/aimd-limit.ts'
import { ExponentialAverage, Gradient2Limit } from '../../src/policies/gradient2-limit.ts'
import type { LimitAlgorithm, LimitSettings, WindowSummary } from '../../src/policies/limit-algorithm.ts'
import { VegasLimit, type VegasSteps } from '../../src/policies/vegas-limit.ts'
import { holds } from './fixtures.ts'

const range = (maxLimit: number, minLimit = 1): LimitSettings => ({ minLimit, maxLimit, slowAfter: 5_000 })
const took = (rtt: number, inUse: number): WindowSummary => ({ rtt, inUse, refused: true, dropped: false })
const drop: WindowSummary = { rtt: 0, inUse: 10, refused: true, dropped: true }
const never = () => 1 - Number.EPSILON

const logarithm = (limit: number) => Math.max(1, Math.floor(Math.log10(limit)))

// Netflix/concurrency-limits, VegasLimitTest.java: alpha 3, beta 6, its default steps, 10 of at most 20 calls.
const netflix: VegasSteps = {
  alpha: () => 3,
  beta: () => 6,
  threshold: logarithm,
  increase: (limit) => limit + logarithm(limit),
  decrease: (limit) => limit - logarithm(limit),
}
const vegas = () => new VegasLimit(10, range(20), never, netflix)

describe('Vegas', () => {
  it('increaseLimit: nothing waits, so the limit rises by beta', () => {
    const limit = vegas()
    limit.step(took(10, 10))
    expect(limit.limit).toBe(10)
    limit.step(took(10, 11))
    expect(limit.limit).toBe(16)
  })

  it('decreaseLimit: eight of ten wait', () => {
    const limit = vegas()
    limit.step(took(10, 10))
    limit.step(took(50, 11))
    expect(limit.limit).toBe(9)
  })

  it('noChangeIfWithinThresholds: three of ten wait', () => {
    const limit = vegas()
    limit.step(took(10, 10))
    limit.step(took(14, 14))
    expect(limit.limit).toBe(10)
  })

  it('decreaseWithoutSmoothing: by the step it is given', () => {
    const limit = new VegasLimit(100, range(200), never, { ...netflix, decrease: (from) => from / 2 })
    limit.step(took(10, 100))
    expect(limit.limit).toBe(100)
    limit.step(took(20, 100))
    expect(limit.limit).toBe(50)
  })

  it('stays where it is while less than half of it is used', () => {
    const limit = vegas()
    limit.step(took(10, 4))
    limit.step(took(10, 4))
    expect(limit.limit).toBe(10)
  })

  it('falls when calls are dropped, also where all are', () => {
    const limit = vegas()
    limit.step(took(10, 10))
    limit.step({ ...took(10, 10), dropped: true })
    expect(limit.limit).toBe(9)
    limit.step(drop)
    expect(limit.limit).toBe(8)
  })

  it('probes with less and less, until the time does not fall any more: that is the baseline', () => {
    const limit = new VegasLimit(100, range(1000), never)
    // A server of 40 workers and 10 ms: what is beyond 40 waits.
    const rtt = () => Math.max(10, limit.limit / 4)
    const seen: number[] = []
    for (let windows = 0; windows < 20; windows++) {
      limit.step(took(rtt(), Math.floor(limit.limit)))
      seen.push(Math.round(limit.limit))
    }
    // The first baseline, taken from a crowd, was 25 ms.
    expect(limit.baseline).toBeGreaterThanOrEqual(10)
    expect(limit.baseline).toBeLessThan(12.3)
    expect(Math.min(...seen)).toBeLessThan(41)
  })

  it('puts a probe off while nobody is refused, but not for ever', () => {
    const limit = new VegasLimit(40, range(40), never)
    const lowered: number[] = []
    for (let windows = 1; windows <= 600; windows++) {
      limit.step({ ...took(10, 40), refused: false })
      if (limit.limit < 40) lowered.push(windows)
    }
    expect(lowered).toEqual([363])
    const refusing = new VegasLimit(40, range(40), never)
    for (let windows = 1; windows <= 3; windows++) refusing.step(took(10, 40))
    expect(refusing.limit).toBe(28)
  })

  it('probes without lowering anything where the limit is not used', () => {
    const limit = new VegasLimit(100, range(1000), never)
    for (let windows = 0; windows < 200; windows++) {
      limit.step(took(windows < 5 ? 10 : 30, 10))
      expect(limit.limit).toBe(100)
    }
    expect(limit.baseline).toBe(30)
  })

  it('takes a server that has become slower for what it is, and does not fall to its floor', () => {
    const limit = new VegasLimit(40, range(1000), never)
    for (let windows = 0; windows < 10; windows++) limit.step(took(10, 40))
    const before = limit.limit
    let lowest = before
    for (let windows = 0; windows < 40; windows++) {
      limit.step(took(30, Math.floor(limit.limit)))
      lowest = Math.min(lowest, limit.limit)
    }
    expect(lowest).toBeGreaterThan(0.4 * before)
    expect(limit.baseline).toBe(30)
  })

  it('sees a queue also where its callers are fewer than the limit', () => {
    const limit = new VegasLimit(60, range(60), never)
    // 30 callers, 2 workers, 5 ms: once the limit is below 30, it is the limit that counts.
    const windows = (count: number, workers: number) => {
      for (let each = 0; each < count; each++) {
        const inUse = Math.min(30, Math.floor(limit.limit))
        limit.step(took(5 * Math.max(1, inUse / workers), inUse))
      }
    }
    windows(40, 2)
    expect(limit.limit).toBeLessThan(8)
    windows(20, 64)
    expect(limit.limit).toBe(60)
    windows(60, 2)
    expect(limit.limit).toBeLessThan(20)
  })

  it('follows a server that has become faster within a few windows', () => {
    const limit = new VegasLimit(40, range(60), never)
    for (let windows = 0; windows < 30; windows++) limit.step(took(100, 40))
    for (let windows = 0; windows < 12; windows++) limit.step(took(20, 40))
    expect(limit.baseline).toBeLessThan(25)
  })
})

describe('AIMD', () => {
  // Netflix/concurrency-limits, AIMDLimitTest.java.
  it('testDefault, increaseOnSuccess, decreaseOnDrops', () => {
    const limit = new AimdLimit(10, range(200))
    expect(limit.limit).toBe(10)
    limit.step(took(1, 10))
    expect(limit.limit).toBe(11)
    const dropping = new AimdLimit(10, range(200))
    dropping.step(drop)
    expect(dropping.limit).toBe(9)
  })

  it('takes what is slow for dropped', () => {
    const limit = new AimdLimit(10, { ...range(200), slowAfter: 100 })
    limit.step(took(101, 10))
    expect(limit.limit).toBe(9)
    limit.step(took(100, 10))
    expect(limit.limit).toBe(10)
    limit.step(took(1, 4))
    expect(limit.limit).toBe(10)
  })
})

describe('Gradient2', () => {
  // Netflix/concurrency-limits, ExpAvgMeasurementTest.java.
  it('averages as ExpAvgMeasurement does', () => {
    const average = new ExponentialAverage(100)
    for (const [at, expected] of [10, 10.5, 11, 11.5, 12, 12.5, 13, 13.5, 14, 14.5].entries()) {
      average.add(at + 10)
      expect(average.value).toBeCloseTo(expected, 2)
    }
    average.add(100)
    expect(average.value).toBeCloseTo(16.2, 1)
  })

  // Gradient2Limit.java has no test of its numbers: these follow from the formula in its comment, with its defaults
  // (queue 4, smoothing 0.2, tolerance 1.5, long window 600).
  it('rises by a fifth of the queue while times are as ever, and falls by a tenth of itself where they are ten times as long', () => {
    const limit = new Gradient2Limit(50, range(200))
    for (let windows = 0; windows < 10; windows++) limit.step(took(10, 60))
    expect(limit.limit).toBeCloseTo(58)
    limit.step(took(100, 60))
    expect(limit.baseline).toBeCloseTo(10.3, 2)
    expect(limit.limit).toBeCloseTo(58 * 0.8 + 0.2 * (58 * 0.5 + 4))
  })

  it('lets times be half as long again before it falls', () => {
    const limit = new Gradient2Limit(50, range(200))
    for (let windows = 0; windows < 10; windows++) limit.step(took(10, 60))
    limit.step(took(15, 60))
    expect(limit.limit).toBeCloseTo(58.8)
    limit.step(took(20, 60))
    expect(limit.limit).toBeLessThan(58.8)
  })

  it('forgets a crowd that has gone', () => {
    const limit = new Gradient2Limit(50, range(200))
    for (let windows = 0; windows < 10; windows++) limit.step(took(100, 50))
    for (let windows = 0; windows < 40; windows++) limit.step(took(10, 50))
    expect(limit.baseline).toBeLessThan(25)
  })

  it('stays where less than half is used, and where all is dropped', () => {
    const limit = new Gradient2Limit(50, range(200))
    limit.step(took(10, 24))
    limit.step(drop)
    expect(limit.limit).toBe(50)
  })
})

const made: Readonly<Record<string, (initial: number, settings: LimitSettings) => LimitAlgorithm>> = {
  Vegas: (initial, settings) => new VegasLimit(initial, settings, () => 0),
  AIMD: (initial, settings) => new AimdLimit(initial, settings),
  Gradient2: (initial, settings) => new Gradient2Limit(initial, settings),
}

describe.each(Object.entries(made))('%s, whatever comes', (name, make) => {
  it('never leaves its bounds', () => {
    const window = fc.record({
      rtt: fc.oneof(fc.constant(0), fc.double({ min: 0.1, max: 60_000, noNaN: true })),
      inUse: fc.nat(2000),
      refused: fc.boolean(),
      dropped: fc.boolean(),
    })
    const history = fc.array(window, { maxLength: 400 })
    const bounds = fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat(500), fc.nat(100), fc.nat(100))
    holds(
      `${name}, bounds`,
      fc.property(bounds, history, ([minLimit, more, initialLimit, other], windows) => {
        let settings = { minLimit, maxLimit: minLimit + more, slowAfter: 1000 }
        const limit = make(initialLimit, settings)
        for (const [at, each] of windows.entries()) {
          if (at === 100) {
            settings = { minLimit: other + 1, maxLimit: other + 1 + more, slowAfter: 1000 }
            limit.configure(settings)
          }
          limit.step(each)
          expect(limit.limit).toBeGreaterThanOrEqual(settings.minLimit)
          expect(limit.limit).toBeLessThanOrEqual(settings.maxLimit)
          expect(limit.settleTime).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})
