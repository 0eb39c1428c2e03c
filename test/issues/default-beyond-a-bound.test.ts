// adaptiveLimit({ maxLimit: 10 }) was refused for an initialLimit of 20 that nobody had given, and so was update().
import { adaptiveLimit } from 'roundtripper'
import { expect, it } from 'vitest'
import { checkAdaptiveLimit } from '../../src/policies/adaptive-limit.ts'

it('a default is within the bounds that are given', () => {
  expect(checkAdaptiveLimit({ maxLimit: 10 })).toMatchObject({ initialLimit: 10 })
  expect(checkAdaptiveLimit({ minLimit: 50 })).toMatchObject({ initialLimit: 50 })
  expect(checkAdaptiveLimit({ maxLimit: undefined as never })).toMatchObject({ initialLimit: 20, maxLimit: 1000 })
  expect(checkAdaptiveLimit({ normalShare: 0.5 })).toMatchObject({ sheddableShare: 0.5 })
})

it('also while it runs; what was given is refused', () => {
  const layer = adaptiveLimit()
  layer.update({ maxLimit: 10 })
  layer.update({ maxLimit: 1000 })
  layer.update({ initialLimit: 30 })
  expect(() => layer.update({ maxLimit: 10 })).toThrow('initialLimit must be a whole number from 1 to 10, got 30')
})
