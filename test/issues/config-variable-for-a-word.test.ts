// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
// The types refused what the schema takes: a variable where one of several words stands, or the name of an upstream.
import { type Config, ConfigError, fromConfig } from 'roundtripper/config'
import { expect, it } from 'vitest'

it('a variable may stand for one of several words, and for the upstream of a route', async () => {
  const services = fromConfig(
    {
      upstreams: { users: { rateLimit: { limit: 1, algorithm: '${ALGORITHM}' } } },
      routes: [{ to: '${TO}' }],
    } satisfies Config<'users'>,
    { env: { ALGORITHM: 'fixedWindow', TO: 'users' } },
  )
  expect(JSON.stringify(services.effective())).toContain('"algorithm":"fixedWindow"')
  await services.close()
  // @ts-expect-error: no upstream has that name
  expect(() => fromConfig({ upstreams: { users: {} }, routes: [{ to: 'search' }] })).toThrow(ConfigError)
  // @ts-expect-error: no such word
  expect(() => fromConfig({ upstreams: { users: { balance: { algorithm: 'best' } } } })).toThrow(ConfigError)
})
