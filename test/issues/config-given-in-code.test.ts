// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
// A logger that is none was taken where no upstream wrote records, and told as missing options of logging where one did; an
// environment that is none was told by Node.
import { fromConfig } from 'roundtripper/config'
import { expect, it } from 'vitest'

it('what is given beside the data is checked by itself', () => {
  const users = { logging: {}, deadline: '${A}' } as const
  for (const upstreams of [{ users: {} }, { users }]) {
    const given = (options: object) => () => fromConfig({ upstreams }, options)
    expect(given({ logger: 5 })).toThrow(new TypeError('fromConfig: logger.debug must be a function, got undefined'))
    expect(given({ env: null })).toThrow(new TypeError('fromConfig: env must be an object, got null'))
    expect(given({ env: 'A=1' })).toThrow(new TypeError('fromConfig: env must be an object, got "A=1"'))
  }
})
