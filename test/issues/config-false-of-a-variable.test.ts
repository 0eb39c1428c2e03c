// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
// `"proxy": "${PROXY:-false}"` asked for a proxy on a host called false, and so did `mark` of a mirror for a header.
import { expect, it } from 'vitest'
import { configured } from '../config/fixtures.ts'

it('false of a variable switches off what false switches off', () => {
  const config = {
    agent: { proxy: '${PROXY:-false}' },
    upstreams: { users: { mirror: { to: 'search', mark: '${MARK}' } }, search: {} },
  }
  const effective = configured(config, { env: { MARK: 'false' } }).effective()
  expect(effective.agent?.proxy).toBe(false)
  expect(effective.upstreams.users?.find(({ layer }) => layer === 'mirror')?.options?.mark).toBe(false)
})
