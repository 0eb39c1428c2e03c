import { decorrelatedJitterGenerator, ExponentialBackoff } from 'cockatiel'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  type Backoff,
  type BackoffBounds,
  type BackoffOptions,
  backoffDefaults,
  createBackoff,
  type Jitter,
} from '../../src/policies/backoff.ts'
import { holds } from './fixtures.ts'

const take = (backoff: Backoff, times: number) => Array.from({ length: times }, () => backoff.next())

/** A source of chance that repeats itself. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('an exponential backoff', () => {
  it('without jitter is exactly 100, 200, 400 ms', () => {
    expect(take(createBackoff({ jitter: 'none' })(), 3)).toEqual([100, 200, 400])
  })

  it('stays at the longest wait once it has come there', () => {
    expect(take(createBackoff({ jitter: 'none' })(), 9)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
    const backoff = createBackoff({ jitter: 'none' })()
    take(backoff, 2000)
    expect(backoff.next()).toBe(5000)
  })

  it('honours its exponent', () => {
    expect(take(createBackoff({ jitter: 'none', initialDelay: 10, exponent: 3 })(), 4)).toEqual([10, 30, 90, 270])
    expect(take(createBackoff({ jitter: 'none', exponent: 1 })(), 3)).toEqual([100, 100, 100])
  })

  it('with full jitter lies evenly between 0 and the exponential value', () => {
    const chances = [0, 0.5, 0.999, 0.25]
    const random = () => chances.shift()!
    expect(take(createBackoff({ jitter: 'full', random })(), 4)).toEqual([0, 100, 399.6, 200])
    const later = createBackoff({ jitter: 'full', random: () => 0.5 })()
    expect(take(later, 10).at(-1)).toBe(2500)
  })

  it('has decorrelated jitter unless told otherwise', () => {
    const random = () => 0.5
    const byDefault = take(createBackoff({ random })(), 6)
    expect(byDefault).toEqual(take(createBackoff({ random, jitter: 'decorrelated' })(), 6))
    expect(new Set(byDefault).size).toBeGreaterThan(4)
    expect(byDefault).not.toEqual(take(createBackoff({ random, jitter: 'none' })(), 6))
  })

  it('draws decorrelated jitter as cockatiel does, from a chance that can be repeated', () => {
    const run = fc.property(fc.nat(), (seed) => {
      vi.spyOn(Math, 'random').mockImplementation(seeded(seed))
      const settings = { initialDelay: 100, maxDelay: 5000, exponent: 2, generator: decorrelatedJitterGenerator }
      let theirs = new ExponentialBackoff(settings).next()
      const ours = createBackoff({ random: seeded(seed) })()
      for (let retry = 0; retry < 12; retry++, theirs = theirs.next(undefined)) {
        expect(ours.next()).toBeCloseTo(theirs.duration, 6)
      }
    })
    holds('decorrelated jitter against cockatiel', run)
  })

  it('spreads callers that failed together', () => {
    const random = seeded(7)
    const begin = createBackoff({ random })
    const first = Array.from({ length: 100 }, () => begin().next())
    expect(new Set(first.map(Math.round)).size).toBeGreaterThan(50)
  })

  it('uses Math.random where no other chance is given', () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.25)
    expect(createBackoff({ jitter: 'full' })().next()).toBe(25)
    expect(random).toHaveBeenCalledTimes(1)
    expect(createBackoff({ jitter: 'full' }, { random: () => 0.75 })().next()).toBe(75)
    expect(createBackoff({ jitter: 'full', random: () => 0.5 }, { random: () => 0.75 })().next()).toBe(50)
  })
})

describe('other backoffs', () => {
  it('a number is the same wait each time', () => {
    expect(take(createBackoff(70)(), 3)).toEqual([70, 70, 70])
    expect(take(createBackoff(0)(), 2)).toEqual([0, 0])
  })

  it('a list is walked through, and its last value repeats', () => {
    expect(take(createBackoff([10, 0, 30])(), 5)).toEqual([10, 0, 30, 30, 30])
  })

  it('a function is asked with the number of the retry', () => {
    const asked: number[] = []
    const delayOf = (retry: number) => {
      asked.push(retry)
      return retry * 10
    }
    const begin = createBackoff(delayOf)
    expect(take(begin(), 3)).toEqual([10, 20, 30])
    expect(take(begin(), 2)).toEqual([10, 20])
    expect(asked).toEqual([1, 2, 3, 1, 2])
  })

  it('what a function gives is brought between 0 and the longest wait', () => {
    const given: unknown[] = [
      -5,
      1e9,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      undefined,
      '7',
      12,
    ]
    const backoff = createBackoff(() => given.shift() as number, { maxDelay: 900 })()
    expect(take(backoff, 8)).toEqual([0, 900, 900, 900, 0, 900, 900, 12])
  })

  it('a function that throws means the longest wait', () => {
    const thrower = () => {
      throw new Error('mine')
    }
    expect(take(createBackoff(thrower, { maxDelay: 900 })(), 2)).toEqual([900, 900])
  })
})

describe('any backoff', () => {
  const jitter = fc.constantFrom<Jitter>('decorrelated', 'full', 'none')

  it('never exceeds the longest wait, never falls below 0, and repeats itself with the same chance', () => {
    const run = fc.property(
      fc.double({ min: 0, max: 60_000, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 1, max: 1000, noNaN: true }),
      jitter,
      fc.nat(),
      (maxDelay, part, exponent, chosen, seed) => {
        const options = { maxDelay, initialDelay: maxDelay * part, exponent, jitter: chosen }
        const delays = take(createBackoff({ ...options, random: seeded(seed) })(), 60)
        for (const delay of delays) {
          expect(delay).toBeGreaterThanOrEqual(0)
          expect(delay).toBeLessThanOrEqual(maxDelay)
        }
        expect(take(createBackoff({ ...options, random: seeded(seed) })(), 60)).toEqual(delays)
      },
    )
    holds('backoffs within their bounds', run)
  })

  it('keeps within them also where chance is 0 or 1', () => {
    for (const chance of [0, 1]) {
      for (const delay of take(createBackoff({ random: () => chance })(), 2000)) {
        expect(delay >= 0 && delay <= 5000).toBe(true)
      }
    }
  })

  it('gives each call a sequence of its own', () => {
    for (const options of [{ jitter: 'none' }, [1, 2, 3], (retry: number) => retry] satisfies BackoffOptions[]) {
      const begin = createBackoff(options)
      const one = begin()
      const first = one.next()
      expect(one.next()).not.toBe(first)
      expect(begin().next()).toBe(first)
    }
  })
})

describe('options', () => {
  it('are those of the table', () => {
    expect(backoffDefaults).toEqual({ initialDelay: 100, maxDelay: 5_000, exponent: 2, jitter: 'decorrelated' })
  })

  it('give way to a shorter longest wait from outside', () => {
    expect(take(createBackoff({ jitter: 'none' }, { maxDelay: 50 })(), 2)).toEqual([50, 50])
    expect(take(createBackoff({ jitter: 'none' }, { maxDelay: 300 })(), 3)).toEqual([100, 200, 300])
  })

  it.each<[BackoffOptions, string, BackoffBounds?]>([
    [{ initialDelay: -1 }, 'backoff.initialDelay must be a number from 0 to 5000, got -1'],
    [{ initialDelay: 6000 }, 'backoff.initialDelay must be a number from 0 to 5000, got 6000'],
    [{ maxDelay: 9000 }, 'backoff.maxDelay must be a number from 0 to 5000, got 9000', { maxDelay: 5000 }],
    [{ exponent: 0.5 }, 'backoff.exponent must be a number of at least 1, got 0.5'],
    [{ jitter: 'half' as Jitter }, 'backoff.jitter must be one of none, full, decorrelated, got half'],
    [{ jitter: 'toString' as Jitter }, 'backoff.jitter must be one of none, full, decorrelated, got toString'],
    [{ random: 4 as never }, 'backoff.random must be a function, got 4'],
    [{ delay: 4 } as BackoffOptions, 'backoff: unknown option "delay"'],
    [-1, 'backoff must be a number from 0 to 2147483647, got -1'],
    [6000, 'backoff must be a number from 0 to 5000, got 6000', { maxDelay: 5000 }],
    [Number.NaN, 'backoff must be a number from 0 to 2147483647, got NaN'],
    [[], 'backoff must hold at least one delay, got an empty array'],
    [[1, -2], 'backoff[1] must be a number from 0 to 2147483647, got -2'],
    ['fast' as never, 'backoff: options must be an object, got "fast"'],
    [null as never, 'backoff: options must be an object, got null'],
  ])('refuse %o', (options, message, bounds) => {
    expect(() => createBackoff(options, bounds)).toThrow(message)
  })
})
