// undici's own interceptors, as neighbours of the kit's layers.
import { deduplicate, type Layer } from 'roundtripper'
import { interceptors } from 'undici'
import type { Scenario } from './scenarios.ts'

/** One of undici's interceptors, and what becomes of a scenario where it stands. */
export interface Foreign {
  readonly name: string
  readonly make: () => Layer
  /** The scenario as this layer changes it, or `null` where it cannot be played with it. */
  readonly adapt: (scenario: Scenario) => Scenario | null
  /** The same where it stands outside, next to the consumer. @default adapt */
  readonly adaptAround?: (scenario: Scenario) => Scenario | null
}

const same = (scenario: Scenario) => scenario
const loopback = [{ address: '127.0.0.1', family: 4 as const, ttl: 60_000 }]

// dump reads on, whatever the consumer does, and hands no data over.
function dumped(scenario: Scenario): Scenario | null {
  if (scenario.hangs || scenario.name === 'throw in data') return null
  const { bytes: _bytes, check: _check, ...rest } = scenario
  return { ...rest, expect: rest.expect.filter((event) => event !== 'data') }
}

// It passes neither onBodySent nor onRequestSent on.
function deduplicated(scenario: Scenario): Scenario | null {
  if (scenario.on?.requestSent !== undefined || scenario.on?.bodySent !== undefined) return null
  const { check: _check, ...rest } = scenario
  return rest
}

// Nobody is told that what several share was sent; all else comes to each, raw headers included.
function sharedBy(scenario: Scenario): Scenario | null {
  if (scenario.on?.requestSent !== undefined) return null
  const { check, ...rest } = scenario
  return check === undefined || scenario.name === '200 with a body' ? rest : scenario
}

export const foreigners: readonly Foreign[] = [
  {
    name: 'retry',
    make: () => interceptors.retry({ maxRetries: 1, minTimeout: 1, maxTimeout: 1 }),
    adapt: same,
    // It starts its consumer anew for every attempt, and tries again what its consumer threw.
    adaptAround: (scenario) =>
      scenario.path === '/reset' || scenario.path.startsWith('/odd/') || scenario.name.startsWith('throw')
        ? null
        : scenario,
  },
  { name: 'redirect', make: () => interceptors.redirect({ maxRedirections: 3 }), adapt: same },
  { name: 'cache', make: () => interceptors.cache(), adapt: same },
  {
    name: 'dns',
    make: () =>
      interceptors.dns({ dualStack: false, lookup: (_origin, _options, done) => setImmediate(done, null, loopback) }),
    adapt: same,
  },
  { name: 'decompress', make: () => interceptors.decompress(), adapt: same },
  {
    name: 'dump',
    make: () => interceptors.dump(),
    adapt: dumped,
    // An abort waits for the end of the body, which is held back.
    adaptAround: (scenario) =>
      scenario.name === 'abort of a body that is held back' ? null : dumped({ ...scenario, unsent: false }),
  },
  {
    name: 'responseError',
    make: () => interceptors.responseError(),
    adapt: (scenario) =>
      scenario.name === '403'
        ? { name: '403', path: scenario.path, expect: ['start', 'error'], error: true, kind: 'clientError' }
        : scenario,
  },
  { name: 'deduplicate', make: () => interceptors.deduplicate(), adapt: deduplicated },
  // The kit's form of it: a layer between two of the kit, too.
  { name: 'deduplicate, as the kit has it', make: () => deduplicate(), adapt: sharedBy },
]

/** For layers beneath a foreign one, which are not told all that the consumer does. */
export function withoutKind(scenario: Scenario): Scenario {
  return { ...scenario, kind: null }
}

/** All scenarios as a foreign layer changes them. */
export function adapted(scenarios: readonly Scenario[], adapt: Foreign['adapt']): Scenario[] {
  return scenarios.map(adapt).filter((scenario) => scenario !== null)
}
