import fc from 'fast-check'
import { expect, it } from 'vitest'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import type { CircuitState } from '../../src/policies/circuit-options.ts'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import type { OutcomeKind } from '../../src/policies/outcome.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { holds, kinds, outcome, scope, thrownBy } from './fixtures.ts'

const call = scope()
const failures: readonly OutcomeKind[] = ['serverError', 'networkError', 'timeout']
const successes: readonly OutcomeKind[] = ['success', 'clientError']

interface Parameters {
  /** Tenths. */
  readonly share: number
  readonly window: number
  readonly minimumCalls: number
  readonly openFor: number
  readonly probes: number
}

/** The same breaker, written as its description reads: every result in a list, every state with a number. */
class Model {
  readonly parameters: Parameters
  state: CircuitState = 'closed'
  epoch = 0
  judged: { at: number; failed: boolean }[] = []
  openUntil = 0
  leases = new Map<number, number>()
  good = 0

  constructor(parameters: Parameters) {
    this.parameters = parameters
  }

  enter(state: CircuitState): void {
    this.state = state
    this.epoch++
    this.leases.clear()
    this.good = 0
    if (state === 'closed') this.judged = []
  }

  open(at: number): void {
    this.enter('open')
    this.openUntil = at + this.parameters.openFor
  }

  pass(now: number): void {
    for (;;) {
      const lease = Math.min(...this.leases.values())
      if (this.state === 'open' && now >= this.openUntil) this.enter('halfOpen')
      else if (this.state === 'halfOpen' && now >= lease) this.open(lease)
      else return
    }
  }

  get full(): boolean {
    return (
      this.state === 'open' || (this.state === 'halfOpen' && this.leases.size + this.good >= this.parameters.probes)
    )
  }

  retryAfter(now: number): number {
    if (!this.full) return 0
    return (this.state === 'open' ? this.openUntil : Math.min(...this.leases.values())) - now
  }

  inWindow(now: number): { calls: number; failures: number } {
    const slice = this.parameters.window / 20
    const inside = this.judged.filter(({ at }) => Math.floor(now / slice) - Math.floor(at / slice) < 20)
    return { calls: inside.length, failures: inside.filter(({ failed }) => failed).length }
  }

  judge(id: number, epoch: number, kind: OutcomeKind, now: number): void {
    if (epoch !== this.epoch) return
    const failed = failures.includes(kind)
    const counts = failed || successes.includes(kind)
    if (this.state === 'closed') {
      if (!counts) return
      this.judged.push({ at: now, failed })
      const { calls, failures: bad } = this.inWindow(now)
      if (calls >= this.parameters.minimumCalls && bad * 10 >= this.parameters.share * calls) this.open(now)
    } else if (this.leases.delete(id) && counts) {
      if (failed) this.open(now)
      else if (++this.good === this.parameters.probes) this.enter('closed')
    }
  }
}

const parameters = fc.record({
  share: fc.integer({ min: 1, max: 10 }),
  window: fc.integer({ min: 1, max: 50 }).map((slices) => slices * 20),
  minimumCalls: fc.integer({ min: 1, max: 6 }),
  openFor: fc.integer({ min: 1, max: 400 }),
  probes: fc.integer({ min: 1, max: 3 }),
})
const kind = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...failures) },
  { weight: 3, arbitrary: fc.constantFrom(...successes) },
  { weight: 2, arbitrary: fc.constantFrom(...kinds) },
)
const step = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ type: 'start' as const }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('head' as const), pick: fc.nat(), kind }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('settle' as const), pick: fc.nat(), kind }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.oneof(fc.nat(20), fc.nat(600)) }) },
)

it('1, 2, 3, 4, 5: agrees with a plain model over random histories', () => {
  const seen = new Set<string>()
  const run = fc.property(parameters, fc.array(step, { minLength: 1, maxLength: 150 }), (chosen, history) => {
    let now = 1000
    const { share, ...rest } = chosen
    const model = new Model(chosen)
    const breaker = new CircuitBreaker({
      ...rest,
      failureShare: share / 10,
      now: () => now,
      onStateChange: ({ from, to }) => seen.add(`${from} to ${to}`),
    })
    const open: { id: number; epoch: number; permit: Permit; judged: boolean }[] = []
    let id = 0
    for (const command of history) {
      if (command.type === 'wait') now += command.ms
      model.pass(now)
      if (command.type === 'start') {
        id++
        if (model.full) {
          const error = thrownBy(() => breaker.acquire(call))
          expect(error).toBeInstanceOf(CircuitOpenError)
          expect((error as CircuitOpenError).retryAfter).toBe(model.retryAfter(now))
        } else {
          if (model.state === 'halfOpen') model.leases.set(id, now + chosen.openFor)
          open.push({ id, epoch: model.epoch, permit: breaker.acquire(call), judged: false })
        }
      } else if (command.type === 'head' && open.length > 0) {
        const one = open.at(-1 - (command.pick % open.length))!
        if (!one.judged) {
          one.judged = true
          one.permit.head?.(outcome(command.kind, { phase: 'head' }), call)
          model.judge(one.id, one.epoch, command.kind, now)
        }
      } else if (command.type === 'settle' && open.length > 0) {
        const [one] = open.splice(-1 - (command.pick % open.length), 1)
        const phase = one!.judged ? 'body' : 'before-head'
        one!.permit.settle(outcome(command.kind, { phase }), call)
        if (!one!.judged) model.judge(one!.id, one!.epoch, command.kind, now)
      }
      expect(breaker.state).toBe(model.state)
      expect(breaker.retryAfter).toBe(model.retryAfter(now))
      expect(breaker.statistics).toMatchObject(model.inWindow(now))
    }
  })
  holds('circuit breaker against its model', run)
  expect([...seen].sort()).toEqual(['closed to open', 'halfOpen to closed', 'halfOpen to open', 'open to halfOpen'])
})
