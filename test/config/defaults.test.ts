// What the schema says of defaults is what the code does.
import {
  adaptiveLimitDefaults,
  agentDefaults,
  backoffDefaults,
  bulkheadDefaults,
  circuitBreakerDefaults,
  contextHeaderNames,
  contextHeadersDefaults,
  dnsHostsDefaults,
  fallbackDefaults,
  hedgeDefaults,
  loggingDefaults,
  mirrorDefaults,
  rateLimitDefaults,
  retryBudgetDefaults,
  retryDefaults,
  standardDefaults,
  standardHedgingDefaults,
  tracingDefaults,
} from 'roundtripper'
import { devCertificate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { balanceDefaults } from '../../src/policies/balance-options.ts'
import { ejectionDefaults, failureShareDefaults } from '../../src/policies/ejection-options.ts'
import { healthDefaults } from '../../src/policies/health-options.ts'
import { slowStartDefaults } from '../../src/policies/slow-start.ts'
import { read } from '../house/files.ts'
import { configured } from './fixtures.ts'

interface Published {
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Published>>
  readonly $defs: Readonly<Record<string, Published>>
}

const published: Published = JSON.parse(read('config.schema.json'))

// What no data can say has no place in the schema; what is undefined has no default.
function toldDefaults(part: string): Record<string, unknown> {
  const properties = Object.entries(published.$defs[part]?.properties ?? {})
  return Object.fromEntries(
    properties.flatMap(([name, { default: told }]) => (told === undefined ? [] : [[name, told]])),
  )
}

const constants: readonly (readonly [part: string, defaults: object])[] = [
  ['tracing', tracingDefaults],
  ['logging', loggingDefaults],
  ['fallback', fallbackDefaults],
  ['contextHeaders', contextHeadersDefaults],
  ['contextHeaderNames', contextHeaderNames],
  ['rateLimit', rateLimitDefaults],
  ['retry', retryDefaults],
  ['backoff', backoffDefaults],
  ['retryBudget', retryBudgetDefaults],
  ['hedge', hedgeDefaults],
  ['balance', balanceDefaults],
  ['ejection', ejectionDefaults],
  ['successShare', ejectionDefaults.successShare],
  ['hostFailureShare', failureShareDefaults],
  ['health', healthDefaults],
  ['slowStart', slowStartDefaults],
  ['dnsHosts', dnsHostsDefaults],
  ['circuitBreaker', circuitBreakerDefaults],
  ['bulkhead', bulkheadDefaults],
  ['mirror', mirrorDefaults],
  ['adaptiveLimit', adaptiveLimitDefaults],
]

describe('the published schema', () => {
  it.each(constants)('tells the defaults of %s', (part, defaults) => {
    expect(toldDefaults(part)).toEqual(JSON.parse(JSON.stringify(defaults)))
  })

  it('tells those of the agent, and of the chain', () => {
    expect(toldDefaults('agent')).toMatchObject(agentDefaults)
    const { deadline, attemptTimeout, bodyTimeout } = standardDefaults
    for (const part of ['layers', 'upstream']) {
      expect(toldDefaults(part)).toEqual({
        canary: false,
        tracing: {},
        logging: false,
        fallback: false,
        contextHeaders: false,
        deadline,
        rateLimit: standardDefaults.rateLimit,
        retry: {},
        hedge: false,
        balance: {},
        circuitBreaker: {},
        bulkhead: {},
        adaptiveLimit: standardHedgingDefaults.adaptiveLimit,
        attemptTimeout,
        bodyTimeout,
        mirror: false,
      })
    }
  })
})

it('effective() tells each default of each upstream', () => {
  const every = {
    logging: {},
    rateLimit: { limit: 1 },
    adaptiveLimit: {},
    contextHeaders: { origins: ['http://a'] },
    fallback: { upstream: 'http://a' },
  }
  const upstreams = { users: { ...every, hosts: ['http://a'] }, search: { ...every, hedge: {} } }
  const { agent, upstreams: effective } = configured({ upstreams }).effective()
  expect(agent).toMatchObject(agentDefaults)
  for (const [name, layers] of Object.entries(effective)) {
    for (const { layer, options } of layers) {
      if (layer === 'PoolAgent') continue
      if (published.$defs[layer] === undefined) expect(options, layer).toEqual({ duration: expect.any(Number) })
      else expect(options, `${layer} of ${name}`).toMatchObject(toldDefaults(layer))
    }
  }
})

it('effective() is plain data without secrets', async () => {
  const secret = 'hunter2'
  const { ca, key } = await devCertificate()
  const made = configured({
    agent: { proxy: `http://me:${secret}@proxy:3128`, connect: { key, passphrase: secret, ca } },
    upstreams: { users: { fallback: { value: { headers: { 'x-key': secret, 'x-keys': [secret] }, body: 'shown' } } } },
  })
  const effective = made.effective()
  expect(JSON.parse(JSON.stringify(effective))).toEqual(effective)
  expect(JSON.stringify(effective)).not.toContain(secret)
  expect(effective.agent).toMatchObject({ proxy: 'REDACTED', connect: { key: 'REDACTED', ca } })
  expect(effective.upstreams.users?.find(({ layer }) => layer === 'fallback')?.options).toMatchObject({
    value: { headers: { 'x-key': 'REDACTED', 'x-keys': ['REDACTED'] }, body: 'shown' },
  })
})
