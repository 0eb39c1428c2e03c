// What compose says of a chain that defeats itself, and of one that is only unwise.
import {
  adaptiveLimit,
  attemptTimeout,
  balance,
  bodyTimeout,
  bulkhead,
  canary,
  circuitBreaker,
  compose,
  contextHeaders,
  createAgent,
  deadline,
  guard,
  type Layer,
  logging,
  rateLimit,
  retry,
  standard,
  tracing,
} from 'roundtripper'
import { interceptors } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const agent = createAgent()
const quiet = { logger: { debug() {}, info() {}, warn() {} } }

interface ChainWarning extends Error {
  readonly code?: string
}

let warnings: ChainWarning[]
const note = (warning: ChainWarning) => warnings.push(warning)
beforeEach(() => {
  warnings = []
  process.on('warning', note)
})
afterEach(() => {
  process.off('warning', note)
})

async function warningsOf(make: () => unknown): Promise<string[]> {
  make()
  await new Promise((resolve) => setImmediate(resolve))
  for (const { code, name } of warnings) expect([code, name]).toEqual(['ROUNDTRIPPER_CHAIN', 'RoundtripperWarning'])
  return warnings.map(({ message }) => message)
}

function mistakeOf(...layers: Layer[]): string {
  try {
    compose(agent, layers)
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError)
    return (error as Error).message
  }
  return 'taken'
}

describe('mistakes', () => {
  it.each<[string, () => Layer]>([
    ['tracing', () => tracing()],
    ['logging', () => logging(quiet)],
    ['deadline', () => deadline(20_000)],
    ['attemptTimeout', () => attemptTimeout()],
    ['bodyTimeout', () => bodyTimeout()],
    ['retry', () => retry()],
    ['circuitBreaker', () => circuitBreaker()],
    ['bulkhead', () => bulkhead()],
    ['adaptiveLimit', () => adaptiveLimit()],
  ])('%s() twice: named with both places, and what to do', (name, make) => {
    const between = interceptors.redirect({ maxRedirections: 1 })
    expect(mistakeOf(make(), between, make())).toMatch(
      new RegExp(`^compose: ${name}\\(\\) stands twice \\(layers 1 and 3\\): .+\\. Keep one\\.`),
    )
    expect(mistakeOf(make(), between)).toBe('taken')
  })

  it('circuitBreaker() outside retry()', () => {
    expect(mistakeOf(attemptTimeout(), circuitBreaker(), retry())).toMatch(
      /circuitBreaker\(\) \(layer 2\) stands outside retry\(\) \(layer 3\): .*Put circuitBreaker\(\) below retry\(\)\./,
    )
    expect(mistakeOf(retry(), circuitBreaker(), attemptTimeout())).toBe('taken')
  })

  it('a deadline that is no longer than the attempt timeout', () => {
    expect(mistakeOf(deadline(500), attemptTimeout(500))).toMatch(
      /deadline\(500\) is not longer than attemptTimeout\(500\): .*Make the deadline longer, or the attempt timeout shorter\./,
    )
    expect(mistakeOf(deadline(501), attemptTimeout(500))).toBe('taken')
  })

  it('several are told at once, with the way around the check', () => {
    const message = mistakeOf(
      circuitBreaker(),
      retry(),
      retry(),
      bulkhead(),
      bulkhead(),
      deadline(5),
      attemptTimeout(10),
    )
    expect(message).toMatch(/retry\(\) stands twice/)
    expect(message).toMatch(/bulkhead\(\) stands twice/)
    expect(message).toMatch(/circuitBreaker\(\) \(layer 1\) stands outside retry\(\) \(layer 2\)/)
    expect(message).toMatch(/deadline\(5\) is not longer/)
    expect(message).toMatch(
      /First is outermost\. If you mean it, agent\.compose\(\.\.\.\) does not check; its last is outermost\./,
    )
  })

  it('own policies may stand as often as they like', () => {
    const own = () => guard({ name: 'retry', acquire: () => null })
    expect(mistakeOf(own(), own(), own())).toBe('taken')
  })
})

describe('doubts', () => {
  it('a breaker that no attempt timeout feeds', async () => {
    expect(await warningsOf(() => compose(agent, retry(), circuitBreaker()))).toEqual([
      expect.stringMatching(
        /^compose: circuitBreaker\(\) stands without an attemptTimeout\(\): .*Put attemptTimeout\(\) below it\.$/,
      ),
    ])
  })

  it('a bulkhead outside the retry', async () => {
    expect(await warningsOf(() => compose(agent, tracing(), bulkhead(), retry()))).toEqual([
      expect.stringMatching(
        /^compose: bulkhead\(\) \(layer 2\) stands outside retry\(\) \(layer 3\): .*Put bulkhead\(\) below retry\(\)\.$/,
      ),
    ])
  })

  it('an adaptive limit outside the retry', async () => {
    expect(await warningsOf(() => compose(agent, adaptiveLimit(), logging(quiet), retry()))).toEqual([
      expect.stringMatching(
        /^compose: adaptiveLimit\(\) \(layer 1\) stands outside retry\(\) \(layer 3\): .*Put adaptiveLimit\(\) below retry\(\)\.$/,
      ),
    ])
  })

  it('a rate limit inside the bulkhead', async () => {
    const limit = () => rateLimit({ limit: 5 })
    expect(await warningsOf(() => compose(agent, tracing(), retry(), bulkhead(), limit()))).toEqual([
      expect.stringMatching(
        /^compose: rateLimit\(\) \(layer 4\) stands inside bulkhead\(\) \(layer 3\): .*Put rateLimit\(\) above bulkhead\(\)\.$/,
      ),
    ])
  })

  it('an adaptive limit outside the bulkhead', async () => {
    expect(await warningsOf(() => compose(agent, retry(), bulkhead(), adaptiveLimit()))).toEqual([])
    expect(await warningsOf(() => compose(agent, retry(), adaptiveLimit(), bulkhead()))).toEqual([
      expect.stringMatching(
        /^compose: adaptiveLimit\(\) \(layer 2\) stands outside bulkhead\(\) \(layer 3\): .*Put adaptiveLimit\(\) below bulkhead\(\)\.$/,
      ),
    ])
  })

  it('a breaker outside the canary', async () => {
    const split = () => canary({ variants: { stable: { weight: 1 } } })
    expect(await warningsOf(() => compose(agent, split(), circuitBreaker(), attemptTimeout()))).toEqual([])
    expect(await warningsOf(() => compose(agent, circuitBreaker(), split(), attemptTimeout()))).toEqual([
      expect.stringMatching(
        /^compose: on the way to variants\.stable: circuitBreaker\(\) \(layer 1\) stands outside canary\(\) \(layer 2\): .*Put circuitBreaker\(\) below canary\(\)\.$/,
      ),
    ])
  })

  it('a group of hosts outside of what sends again, and a breaker outside of the group', async () => {
    const group = () => balance({ hosts: ['http://10.0.0.7'] })
    const breaker = () => [circuitBreaker(), attemptTimeout()]
    expect(await warningsOf(() => compose(agent, retry(), group(), breaker()))).toEqual([])
    expect(await warningsOf(() => compose(agent, group(), retry()))).toEqual([
      expect.stringMatching(
        /^compose: balance\(\) \(layer 1\) stands outside retry\(\) \(layer 2\): .*Put balance\(\) below retry\(\)\.$/,
      ),
    ])
    warnings.length = 0
    expect(await warningsOf(() => compose(agent, retry(), breaker(), group()))).toEqual([
      expect.stringMatching(/^compose: circuitBreaker\(\) \(layer 2\) stands outside balance\(\) \(layer 4\): /),
    ])
  })

  it('but not rate limits on both sides of the retry, above the bulkhead', async () => {
    const limit = () => rateLimit({ limit: 5 })
    expect(await warningsOf(() => compose(agent, limit(), retry(), limit(), bulkhead()))).toEqual([])
  })

  it('the headers of a context inside a queue', async () => {
    const context = () => contextHeaders({ origins: [] })
    expect(await warningsOf(() => compose(agent, context(), retry(), context(), bulkhead()))).toEqual([])
    expect(await warningsOf(() => compose(agent, retry(), bulkhead(), context()))).toEqual([
      expect.stringMatching(
        /^compose: contextHeaders\(\) \(layer 3\) stands inside bulkhead\(\) \(layer 2\): .*Put contextHeaders\(\) above bulkhead\(\)\.$/,
      ),
    ])
  })

  it('a deadline inside the retry', async () => {
    expect(await warningsOf(() => compose(agent, tracing(), retry(), deadline()))).toEqual([
      expect.stringMatching(
        /^compose: deadline\(\) \(layer 3\) stands inside retry\(\) \(layer 2\): .*Put it above retry\(\);/,
      ),
    ])
  })

  it('each is told once, however often the chain is made', async () => {
    const make = () => compose(agent, [[], tracing()], bulkhead(), logging(quiet), retry())
    expect(await warningsOf(make)).toHaveLength(1)
    expect(await warningsOf(make)).toHaveLength(1)
  })

  it('nothing is said of standard(), whole or in part', async () => {
    const chains = [
      standard(),
      standard({ logging: quiet, classify: () => undefined }),
      standard({ retry: false }),
      standard({ circuitBreaker: false, attemptTimeout: false }),
      standard({ deadline: false, bulkhead: false, bodyTimeout: false, tracing: false }),
    ]
    expect(await warningsOf(() => chains.map((layers) => compose(agent, layers)))).toEqual([])
  })
})
