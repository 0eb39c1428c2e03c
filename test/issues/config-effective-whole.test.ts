// effective() left out defaults of the agent that the schema names: the windows, h2c, and the origins of HTTP/1.1.
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
