// bulkhead() and circuitBreaker() took update(5), or update(null), and said nothing.
import { adaptiveLimit, bulkhead, circuitBreaker, rateLimit } from 'roundtripper'
import { expect, it } from 'vitest'

const layers = { adaptiveLimit, bulkhead, circuitBreaker, rateLimit: () => rateLimit({ limit: 1 }) }

it.each(Object.entries(layers))('30: %s refuses an update that is no object of options', (name, make) => {
  const layer = make() as { update(changes: unknown): void }
  for (const [wrong, shown] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [5, '5'],
    [[], 'an array'],
  ] as const) {
    expect(() => layer.update(wrong)).toThrow(new RegExp(`^${name}: .*options must be an object, got ${shown}$`))
  }
  expect(() => layer.update({ nothing: 1 })).toThrow('unknown option "nothing"')
  layer.update({})
})
