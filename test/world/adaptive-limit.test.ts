import { expect, it } from 'vitest'
import { bestFixed, type CapacityScenario, compare, scenarios } from './capacity.ts'

it('comes close to the best fixed limit before a change of capacity and after it', async () => {
  const name = 'half the workers (20, 10, 20), log-normal'
  const scenario = scenarios.find((one) => one.name === name) as CapacityScenario
  // Limits of 14 and 27: those that are best in one phase or another. `npm run adaptive-limit` tries more of them, in all
  // scenarios.
  const best = await bestFixed(scenario, [0.7, 1.35])
  const phases = await compare(scenario, 'vegas', best)
  console.log(name, best, phases)
  expect(best.map(({ goodput }) => Math.round(goodput / 50) * 50)).toEqual([500, 250, 500])
  for (const { goodput, p99 } of phases) {
    expect(goodput).toBeGreaterThanOrEqual(0.95)
    expect(p99).toBeLessThanOrEqual(1.5)
  }
}, 60_000)
