import fc from 'fast-check'
import { expect, it } from 'vitest'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import type { CircuitBreakerOptions } from '../../src/policies/circuit-options.ts'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import type { OutcomeKind } from '../../src/policies/outcome.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { BreakerModel, type Parameters, slowAfter } from './breaker-model.ts'
import { holds, kinds, outcome, scope, thrownBy } from './fixtures.ts'

const call = scope()
const failures: readonly OutcomeKind[] = ['serverError', 'networkError', 'timeout']
const successes: readonly OutcomeKind[] = ['success', 'clientError']

const sometimes = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const parameters: fc.Arbitrary<Parameters> = fc
  .record({
    share: fc.option(fc.integer({ min: 1, max: 10 }), { nil: null, freq: 4 }),
    window: fc.integer({ min: 1, max: 50 }).map((slices) => slices * 20),
    windowCalls: sometimes(fc.integer({ min: 1, max: 8 })),
    minimumCalls: fc.integer({ min: 1, max: 6 }),
    consecutive: sometimes(fc.integer({ min: 1, max: 5 })),
    slowShare: fc.option(fc.integer({ min: 1, max: 10 }), { nil: null }),
    openFor: fc.integer({ min: 1, max: 400 }),
    factor: fc.constantFrom(1, 1, 2, 3),
    max: fc.integer({ min: 400, max: 2000 }),
    jitter: fc.constantFrom(0, 0, 0.5, 1),
    probes: fc.integer({ min: 1, max: 3 }),
  })
  .map((made) => ({ ...made, minimumCalls: Math.min(made.minimumCalls, made.windowCalls ?? 6) }))
  .filter(({ share, slowShare, consecutive }) => share !== null || slowShare !== null || consecutive !== undefined)

const kind = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...failures) },
  { weight: 3, arbitrary: fc.constantFrom(...successes) },
  { weight: 2, arbitrary: fc.constantFrom(...kinds) },
)
const headMs = fc.constantFrom(slowAfter, slowAfter + 1)
const type = <Name extends string>(name: Name) => fc.constant(name)
const step = fc.oneof(
  { weight: 50, arbitrary: fc.record({ type: type('start') }) },
  { weight: 30, arbitrary: fc.record({ type: type('head'), pick: fc.nat(), kind, headMs }) },
  { weight: 40, arbitrary: fc.record({ type: type('settle'), pick: fc.nat(), kind }) },
  { weight: 30, arbitrary: fc.record({ type: type('wait'), ms: fc.oneof(fc.nat(20), fc.nat(600)) }) },
  { weight: 1, arbitrary: fc.record({ type: type('force'), order: fc.constantFrom('open', 'closed', 'disabled') }) },
  { weight: 3, arbitrary: fc.record({ type: type('force'), order: fc.constant(null) }) },
  { weight: 2, arbitrary: fc.record({ type: type('hand on') }) },
)

function optionsOf(chosen: Parameters): CircuitBreakerOptions {
  const { share, slowShare, consecutive, factor, max, jitter, ...rest } = chosen
  return {
    ...rest,
    failureShare: share === null ? false : share / 10,
    consecutiveFailures: consecutive,
    openForFactor: factor,
    openForMax: max,
    openForJitter: jitter,
    ...(slowShare === null ? {} : { slowCallShare: slowShare / 10, slowCallDuration: slowAfter }),
  }
}

interface UnderWay {
  readonly id: number
  readonly epoch: number
  readonly permit: Permit
  judged: boolean
}

it.each([false, true])(
  '1, 2, 3, 4, 5, 8, 10: agrees with a plain model over random histories (shadow: %s)',
  (shadow) => {
    const seen = new Set<string>()
    const run = fc.property(parameters, fc.array(step, { minLength: 1, maxLength: 150 }), (chosen, history) => {
      let now = 1000
      // The same for both sides, however often each asks.
      const random = () => (now * 0.37) % 1
      const model = new BreakerModel(chosen, random)
      const options: CircuitBreakerOptions = {
        ...optionsOf(chosen),
        shadow,
        now: () => now,
        random,
        onStateChange: ({ from, to, reason }) => seen.add(`${from} to ${to}: ${reason}`),
      }
      let breaker = new CircuitBreaker(options)
      let before = 0
      const open: UnderWay[] = []
      let id = 0
      for (const command of history) {
        if (command.type === 'wait') now += command.ms
        model.pass(now)
        if (command.type === 'start') {
          id++
          if (!model.full) {
            const epoch = model.start(id, now)
            open.push({ id, epoch, permit: breaker.acquire(call), judged: false })
          } else {
            model.refused++
            if (shadow) {
              // What passes in shadow counts for nothing: its number belongs to no state.
              open.push({ id, epoch: -1, permit: breaker.acquire(call), judged: false })
            } else {
              const error = thrownBy(() => breaker.acquire(call))
              expect(error).toBeInstanceOf(CircuitOpenError)
              expect((error as CircuitOpenError).retryAfter).toBeCloseTo(model.retryAfter(now), 6)
            }
          }
        } else if (command.type === 'head' && open.length > 0) {
          const one = open.at(-1 - (command.pick % open.length))!
          if (!one.judged) {
            one.judged = true
            const judged = outcome(command.kind, { phase: 'head', headMs: command.headMs })
            one.permit.head?.(judged, call)
            model.judge(one.id, one.epoch, judged, now)
          }
        } else if (command.type === 'settle' && open.length > 0) {
          const [one] = open.splice(-1 - (command.pick % open.length), 1)
          const judged = outcome(command.kind, { phase: one!.judged ? 'body' : 'before-head', headMs: undefined })
          one!.permit.settle(judged, call)
          if (!one!.judged) model.judge(one!.id, one!.epoch, judged, now)
        } else if (command.type === 'force') {
          breaker.force(command.order)
          model.force(command.order)
        } else if (command.type === 'hand on') {
          before += breaker.refused + breaker.shadowRefused
          const snapshot = JSON.parse(JSON.stringify(breaker.snapshot()))
          breaker = new CircuitBreaker(options)
          breaker.restore(snapshot)
          model.moveOn(now)
        }
        expect(breaker.state).toBe(model.state)
        expect(breaker.forced).toBe(model.forced)
        expect(breaker.retryAfter).toBeCloseTo(model.retryAfter(now), 6)
        expect(breaker.statistics).toEqual(model.inWindow(now))
        expect(before + (shadow ? breaker.shadowRefused : breaker.refused)).toBe(model.refused)
        expect(shadow ? breaker.refused : breaker.shadowRefused).toBe(0)
      }
    })
    holds('circuit breaker against its model', run)
    const rules = ['failureShare', 'slowCallShare', 'consecutiveFailures', 'forced']
    for (const rule of rules) expect(seen).toContain(`closed to open: ${rule}`)
    expect(seen).toContain('halfOpen to open: probe')
    expect(seen).toContain('halfOpen to open: lease')
    expect(seen).toContain('halfOpen to closed: recovered')
    expect(seen).toContain('open to halfOpen: time')
  },
)
