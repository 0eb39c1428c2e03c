import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Rate, type RateAlgorithm, type RateSettings, rateOf } from '../../src/policies/rates.ts'
import { holds } from './fixtures.ts'

/** Takes as many as there are. */
function drain(rate: Rate, now: number): number {
  let taken = 0
  while (rate.take(now)) taken++
  return taken
}

const ten = { limit: 10, window: 1000, burst: 10 }

describe('30: each kind is what its name says', () => {
  it('a token bucket gives its burst at once, and then one token each window / limit', () => {
    const rate = rateOf('tokenBucket', { ...ten, burst: 3 })
    expect(drain(rate, 0)).toBe(3)
    expect(rate.waitFor(0, 0)).toBe(100)
    expect(drain(rate, 99)).toBe(0)
    expect(drain(rate, 100)).toBe(1)
    // No more than the burst is saved up, however long it is quiet.
    expect(drain(rate, 100_000)).toBe(3)
  })

  it('a leaky bucket lets calls out one by one, evenly, also after a quiet time', () => {
    const rate = rateOf('leakyBucket', { ...ten, burst: 1 })
    const out: number[] = []
    for (let now = 0; now <= 1000; now += 10) if (rate.take(now)) out.push(now)
    expect(out).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
    expect(drain(rate, 50_000)).toBe(1)
  })

  it('a fixed window begins with a call and counts anew when it has ended, so that twice the limit goes around the turn', () => {
    const rate = rateOf('fixedWindow', ten)
    expect(rate.take(5000)).toBe(true)
    expect(drain(rate, 5990)).toBe(9)
    expect(drain(rate, 5999)).toBe(0)
    expect(rate.waitFor(5999, 0)).toBe(1)
    expect(drain(rate, 6000)).toBe(10)
  })

  it('a sliding window never lets more through in the length of a window, wherever it begins', () => {
    const rate = rateOf('slidingWindow', ten)
    expect(rate.take(5000)).toBe(true)
    expect(drain(rate, 5990)).toBe(9)
    // The fixed window gave ten here.
    expect(drain(rate, 6000)).toBe(1)
    expect(rate.waitFor(6000, 0)).toBe(990)
    expect(drain(rate, 6989)).toBe(0)
    expect(drain(rate, 6990)).toBe(9)
  })
})

// Numbers that others publish.
describe('30: published numbers', () => {
  it('Go: rate.NewLimiter(rate.Every(100 ms), 5) gives 5 at once and then ten a second (x/time/rate, example_test.go)', () => {
    const rate = rateOf('tokenBucket', { limit: 10, window: 1000, burst: 5 })
    expect(drain(rate, 0)).toBe(5)
    let taken = 0
    for (let now = 1; now <= 1000; now++) taken += drain(rate, now)
    expect(taken).toBe(10)
  })

  it('RFC 2697: over any time t, no more than the burst and t times the rate', () => {
    const rate = rateOf('tokenBucket', { limit: 100, window: 1000, burst: 20 })
    let taken = 0
    for (let now = 0; now <= 10_000; now++) taken += drain(rate, now)
    expect(taken).toBe(20 + 10 * 100)
  })

  it('nginx: limit_req rate=10r/s is one request each 100 ms (ngx_http_limit_req_module)', () => {
    const rate = rateOf('leakyBucket', { limit: 10, window: 1000, burst: 1 })
    expect(rate.take(0)).toBe(true)
    expect(rate.waitFor(0, 0)).toBe(100)
    // Twenty that come at once, with burst=20, leave over two seconds.
    expect(rate.waitFor(0, 19)).toBe(2000)
  })

  it('Figma, Redis: 5 a minute in a fixed window let 10 through within a few seconds around the turn', () => {
    const rate = rateOf('fixedWindow', { limit: 5, window: 60_000, burst: 1 })
    expect(rate.take(0)).toBe(true)
    expect(drain(rate, 59_000) + drain(rate, 60_000)).toBe(9)
    const sliding = rateOf('slidingWindow', { limit: 5, window: 60_000, burst: 1 })
    expect(sliding.take(0)).toBe(true)
    expect(drain(sliding, 59_000) + drain(sliding, 60_000)).toBe(5)
  })
})

const algorithms: RateAlgorithm[] = ['tokenBucket', 'fixedWindow', 'slidingWindow', 'leakyBucket']

interface Drawn {
  algorithm: RateAlgorithm
  settings: RateSettings
  /** Milliseconds between two that ask. */
  gaps: number[]
}

const drawn: fc.Arbitrary<Drawn> = fc
  .record({
    algorithm: fc.constantFrom(...algorithms),
    limit: fc.integer({ min: 1, max: 40 }),
    window: fc.integer({ min: 1, max: 500 }),
    burst: fc.integer({ min: 1, max: 30 }),
    gaps: fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constant(0) },
        { weight: 3, arbitrary: fc.double({ min: 0, max: 20, noNaN: true }) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 1000 }) },
      ),
      { maxLength: 300 },
    ),
  })
  .map(({ algorithm, limit, window, burst, gaps }) => ({
    algorithm,
    settings: { limit, window, burst: algorithm === 'leakyBucket' ? 1 : burst },
    gaps,
  }))

/** How many may go in `length` milliseconds, both ends counted. */
function boundOf(algorithm: RateAlgorithm, { limit, window, burst }: RateSettings, length: number): number {
  switch (algorithm) {
    case 'slidingWindow':
      return limit * (Math.floor(length / window) + 1)
    case 'fixedWindow':
      return limit * (Math.floor(length / window) + 2)
    default:
      return Math.floor(burst + (length * limit) / window + 1e-6)
  }
}

describe('30: against what they promise', () => {
  it('none ever gives out more than its bound, over any stretch of any history', () => {
    holds(
      'bounds of rates',
      fc.property(drawn, ({ algorithm, settings, gaps }) => {
        const rate = rateOf(algorithm, settings)
        const taken: number[] = []
        let now = 1000
        for (const gap of gaps) {
          now += gap
          if (rate.take(now)) taken.push(now)
        }
        for (let from = 0; from < taken.length; from++) {
          for (let to = from; to < taken.length; to++) {
            const bound = boundOf(algorithm, settings, taken[to]! - taken[from]!)
            if (to - from + 1 > bound) expect.fail(`${to - from + 1} from ${taken[from]} to ${taken[to]}, not ${bound}`)
          }
        }
      }),
    )
  })

  it('a fixed window holds its limit from the call that begins it to its end', () => {
    holds(
      'fixed windows',
      fc.property(drawn, ({ settings, gaps }) => {
        const rate = rateOf('fixedWindow', settings)
        let [now, startedAt, used] = [1000, Number.NEGATIVE_INFINITY, 0]
        for (const gap of gaps) {
          now += gap
          if (now >= startedAt + settings.window) [startedAt, used] = [now, 0]
          expect(rate.take(now)).toBe(used < settings.limit)
          if (used < settings.limit) used++
        }
      }),
    )
  })

  it('the wait it tells is exact: refused just before, admitted at that time', () => {
    holds(
      'waits of rates',
      fc.property(drawn, ({ algorithm, settings, gaps }) => {
        const rate = rateOf(algorithm, settings)
        let now = 1000
        for (const gap of gaps) {
          now += gap
          const wait = rate.waitFor(now, 0)
          expect(rate.available(now) > 0).toBe(wait === 0)
          if (wait > 0) {
            expect(rate.take(now + wait - 1e-6)).toBe(false)
            now += wait
          }
          expect(rate.take(now)).toBe(true)
        }
      }),
    )
  })

  it('the wait of one further back is when its turn comes, if those before it go as soon as they can', () => {
    holds(
      'waits further back',
      fc.property(drawn, fc.integer({ min: 0, max: 90 }), ({ algorithm, settings, gaps }, ahead) => {
        const rate = rateOf(algorithm, settings)
        let now = 1000
        for (const gap of gaps) {
          now += gap
          rate.take(now)
        }
        const expected = now + rate.waitFor(now, ahead)
        for (let before = 0; before < ahead; before++) {
          now += rate.waitFor(now, 0)
          expect(rate.take(now)).toBe(true)
        }
        expect(now + rate.waitFor(now, 0)).toBeCloseTo(expected, 6)
      }),
    )
  })

  it('conserves tokens: what was taken and what is left is what has come', () => {
    holds(
      'tokens',
      fc.property(drawn, ({ settings, gaps }) => {
        const rate = rateOf('tokenBucket', settings)
        // The plain bucket: a counter that is filled up to its brim.
        let [now, tokens] = [1000, settings.burst]
        for (const gap of gaps) {
          now += gap
          tokens = Math.min(settings.burst, tokens + (gap * settings.limit) / settings.window)
          expect(Math.abs(rate.available(now) - tokens)).toBeLessThan(1 + 1e-6)
          if (rate.take(now)) tokens--
          expect(tokens).toBeGreaterThan(-1e-6)
        }
      }),
    )
  })
})

describe('other settings', () => {
  it('a token bucket keeps its tokens, as far as the new burst holds them', () => {
    const rate = rateOf('tokenBucket', ten)
    for (let call = 0; call < 4; call++) rate.take(0)
    rate.adopt({ limit: 20, window: 1000, burst: 20 }, 0)
    expect(rate.available(0)).toBe(6)
    expect(rate.available(100)).toBe(8)
    rate.adopt({ limit: 20, window: 1000, burst: 2 }, 100)
    expect(drain(rate, 100)).toBe(2)
    expect(rate.waitFor(100, 0)).toBe(50)
  })

  it('windows keep what has been counted', () => {
    for (const algorithm of ['fixedWindow', 'slidingWindow'] as const) {
      const rate = rateOf(algorithm, ten)
      for (let call = 0; call < 8; call++) rate.take(call)
      rate.adopt({ ...ten, limit: 4 }, 10)
      expect(rate.take(10)).toBe(false)
      rate.adopt({ ...ten, limit: 12 }, 10)
      expect(drain(rate, 10)).toBe(4)
    }
  })

  it('a sliding window that has gone round grows and shrinks in order', () => {
    const rate = rateOf('slidingWindow', { limit: 3, window: 100, burst: 1 })
    for (const now of [0, 10, 20, 100, 110]) expect(rate.take(now)).toBe(true)
    rate.adopt({ limit: 40, window: 100, burst: 1 }, 110)
    expect(drain(rate, 110)).toBe(37)
    expect(rate.waitFor(110, 0)).toBe(10)
    rate.adopt({ limit: 2, window: 100, burst: 1 }, 110)
    expect(rate.waitFor(115, 0)).toBe(95)
  })
})
