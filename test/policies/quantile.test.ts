import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LatencyQuantiles, quantileAccuracy, quantileWindow } from '../../src/policies/quantile.ts'
import { seededRandom } from '../../src/testing/index.ts'

/** The value of the rank that DDSketch gives a quantile. */
function exact(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] as number
}

function estimatesOf(values: readonly number[]): LatencyQuantiles {
  const quantiles = new LatencyQuantiles()
  for (const value of values) quantiles.add(value, 0)
  return quantiles
}

const shares = [0, 0.5, 0.9, 0.95, 0.99, 0.999, 1]

describe('latency quantiles', () => {
  // DDSketch, VLDB 2019, definition 2 and proposition 3: every quantile to within the relative accuracy.
  it('31: every quantile is within the accuracy of the exact one, whatever the durations', () => {
    const durations = fc.array(fc.double({ min: 1, max: 600_000, noNaN: true }), { minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(durations, fc.constantFrom(...shares), (values, share) => {
        const known = exact(values, share)
        expect(Math.abs(estimatesOf(values).quantile(share) - known)).toBeLessThanOrEqual(
          known * quantileAccuracy + 1e-9 * known,
        )
      }),
      { verbose: true },
    )
  })

  // The shapes of DDSketch's evaluation (section 4): Pareto with shape 1, and an exponential one.
  it.each([
    ['Pareto', (random: number) => 1 / (1 - random)],
    ['exponential', (random: number) => 1 - 100 * Math.log(1 - random)],
    ['of two kinds', (random: number) => (random < 0.9 ? 5 : 2000)],
  ])('31: 100,000 durations, %s', (_, durationOf) => {
    const random = seededRandom()
    const values = Array.from({ length: 100_000 }, () =>
      Math.min(600_000, durationOf(random.integer(0, 999_999) / 1e6)),
    )
    const quantiles = estimatesOf(values)
    for (const share of shares) {
      const known = exact(values, share)
      const error = Math.abs(quantiles.quantile(share) - known) / known
      expect(error, `${share}, seed ${random.seed}`).toBeLessThanOrEqual(quantileAccuracy + 1e-9)
    }
  })

  it('31: forgets what is older than the window, and nothing younger than two thirds of it', () => {
    const times = fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(times, (gaps) => {
        const quantiles = new LatencyQuantiles()
        const at: number[] = []
        let now = 0
        for (const gap of gaps) {
          now += gap
          quantiles.add(5, now)
          at.push(now)
          const younger = (age: number) => at.filter((time) => time > now - age).length
          expect(quantiles.samples).toBeLessThanOrEqual(younger(quantileWindow))
          expect(quantiles.samples).toBeGreaterThanOrEqual(younger((quantileWindow * 2) / 3))
        }
      }),
      { verbose: true },
    )
  })

  it('31: knows nothing at first, takes what is shorter than 1 ms as 1 ms, and what is longer than 600 s as that', () => {
    const quantiles = new LatencyQuantiles()
    expect([quantiles.samples, quantiles.quantile(0.5)]).toEqual([0, Number.NaN])
    for (const duration of [0, 0.2, 1]) quantiles.add(duration, 0)
    expect([quantiles.samples, quantiles.quantile(1)]).toEqual([3, 1])
    quantiles.add(1e9, 0)
    expect(quantiles.quantile(1)).toBeGreaterThan(588_000)
    expect(quantiles.quantile(1)).toBeLessThan(625_000)
  })
})
