// effective() left out defaults of the agent that the schema names (the windows, h2c, and the origins of HTTP/1.1), and told of
// hosts by DNS that they come of a function.
import { expect, it } from 'vitest'
import { schema } from '../../src/config/schema.ts'
import { configured } from '../config/fixtures.ts'

it('effective() has every default of the agent', () => {
  const { agent } = configured({ agent: { connections: 7 }, upstreams: { users: {} } }).effective()
  const defaults = Object.entries(schema.$defs?.agent?.properties ?? {}).flatMap(([name, { default: value }]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  expect(defaults.length).toBeGreaterThan(10)
  expect(agent).toEqual({ ...Object.fromEntries(defaults), connections: 7 })
})

it('effective() has all options of hosts by DNS', () => {
  const upstreams = { users: { hosts: { dns: 'http://users.internal', family: 4 } } }
  const { users } = configured({ upstreams }).effective().upstreams
  expect(users?.find(({ layer }) => layer === 'balance')?.options?.hosts).toEqual({
    dns: 'http://users.internal',
    family: 4,
    minTtl: 1_000,
    maxTtl: 60_000,
  })
})
