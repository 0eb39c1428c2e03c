import fc from 'fast-check'
import type { Outcome, OutcomeKind, OutcomePhase } from '../../src/policies/outcome.ts'
import type { ExchangeScope, Scope } from '../../src/policies/policy.ts'

// A history is as long as it says: short ones reach no state worth looking at.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true })

export const kinds: readonly OutcomeKind[] = [
  'success',
  'clientError',
  'throttled',
  'serverError',
  'networkError',
  'timeout',
  'deadline',
  'shed',
  'cancelled',
  'invalid',
  'closed',
]

const statuses: Partial<Record<OutcomeKind, number>> = {
  success: 200,
  clientError: 404,
  throttled: 429,
  serverError: 503,
}

/** An outcome as the chain would make it; `more` overrides. */
export function outcome(kind: OutcomeKind, more: Partial<Outcome> = {}): Outcome {
  const status = statuses[kind]
  const phase: OutcomePhase = status === undefined ? 'before-head' : 'head'
  return {
    kind,
    phase,
    status,
    headers: status === undefined ? undefined : {},
    error: status === undefined ? new Error(kind) : undefined,
    headMs: status === undefined ? undefined : 1,
    ...more,
  }
}

/** A scope with what policies read; what they note goes into `notes`. Of the call it has the priority only. */
export function scope(origin = 'https://a.test', notes: Record<string, unknown> = {}, priority = 1): Scope {
  return {
    exchange: { priority } as ExchangeScope,
    number: 1,
    origin,
    outcome: null,
    sent: true,
    beganAt: 0,
    startedAt: 0,
    headAt: 0,
    queuedMs: 0,
    protocol: undefined,
    note: (name, value) => {
      notes[name] = value
    },
    signal: new AbortController().signal,
  }
}

/** Checks a property, and prints the seed that repeats the run: `TEST_SEED=... vitest`. */
export function holds<T>(name: string, property: fc.IProperty<T>): void
export function holds<T>(name: string, property: fc.IAsyncProperty<T>): Promise<void>
export function holds<T>(name: string, property: fc.IRawProperty<T>): Promise<void> | void {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
  console.log(`${name}: seed ${seed}`)
  return fc.assert(property as fc.IAsyncProperty<T>, { seed, numRuns: 300 })
}

/** What `run` throws. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** Lets every microtask run that is due. */
export function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
