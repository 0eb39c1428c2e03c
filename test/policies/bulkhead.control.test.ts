// What somebody does to a bulkhead while calls go through it and wait.
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Bulkhead, type BulkheadOptions, checkBulkhead } from '../../src/policies/bulkhead.ts'
import { BulkheadFullError } from '../../src/policies/errors.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { admitted, byPriority, call, critical, done, follow, isPermit, origin, waiting } from './bulkhead-fixtures.ts'
import { holds, microtasks, scope, thrownBy } from './fixtures.ts'

const change = (bulkhead: Bulkhead, options: BulkheadOptions) =>
  bulkhead.update(checkBulkhead({ ...bulkhead.settings, ...options }))

afterEach(() => {
  vi.useRealTimers()
})

describe('a limit that is raised', () => {
  it('27: lets those who wait go at once, the most important first', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const log: string[] = []
    admitted(bulkhead)
    for (const name of ['a', 'b', 'c']) follow(bulkhead, name, log)
    follow(bulkhead, 'critical', log, critical)
    change(bulkhead, { limit: 3 })
    expect(bulkhead).toMatchObject({ inUse: 3, queued: 2 })
    await microtasks()
    expect(log).toEqual(['critical granted', 'a granted'])
  })

  it('28: lets nobody overtake', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1 })
    const log: string[] = []
    admitted(bulkhead)
    follow(bulkhead, 'a', log)
    change(bulkhead, { limit: 2 })
    expect(isPermit(bulkhead.acquire(call))).toBe(false)
    await microtasks()
    expect(log).toEqual(['a granted'])
  })

  it('leaves slots free where nobody waits', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 0 })
    admitted(bulkhead)
    change(bulkhead, { limit: 2 })
    expect(bulkhead.inUse).toBe(1)
    admitted(bulkhead)
  })
})

describe('a limit that is lowered', () => {
  it('47: takes slots away as their calls end, and no call with them', async () => {
    const bulkhead = new Bulkhead({ limit: 3 })
    const log: string[] = []
    const permits = [admitted(bulkhead), admitted(bulkhead), admitted(bulkhead)]
    follow(bulkhead, 'a', log)
    change(bulkhead, { limit: 1 })
    expect(bulkhead).toMatchObject({ inUse: 3, queued: 1 })
    permits[0]!.settle(done, call)
    permits[1]!.settle(done, call)
    await microtasks()
    expect([bulkhead.inUse, bulkhead.queued, log]).toEqual([1, 1, []])
    permits[2]!.settle(done, call)
    await microtasks()
    expect([bulkhead.inUse, bulkhead.queued, log]).toEqual([1, 0, ['a granted']])
  })
})

describe('a queue that changes', () => {
  it('27: keeps who waits in it, however short it is from now on', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 3 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    for (const name of ['a', 'b']) follow(bulkhead, name, log)
    change(bulkhead, { queue: 0 })
    expect(thrownBy(() => bulkhead.acquire(call))).toBeInstanceOf(BulkheadFullError)
    permit.settle(done, call)
    await microtasks()
    expect(log).toEqual(['a granted'])
    change(bulkhead, { queue: 2 })
    waiting(bulkhead)
    expect(bulkhead.queued).toBe(2)
  })

  it('27: gives newcomers another time, and leaves the others theirs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const bulkhead = new Bulkhead({ limit: 1, queueTimeout: 50 })
    const log: string[] = []
    admitted(bulkhead)
    follow(bulkhead, 'a', log)
    change(bulkhead, { queueTimeout: 10 })
    follow(bulkhead, 'b', log)
    change(bulkhead, { queueTimeout: undefined })
    follow(bulkhead, 'c', log)
    vi.advanceTimersByTime(10)
    expect(log).toEqual([expect.stringMatching(/^b refused: .* had no slot free within 10 ms/)])
    vi.advanceTimersByTime(40)
    expect(log[1]).toMatch(/^a refused: .* within 50 ms/)
    vi.advanceTimersByTime(1e6)
    expect(log).toHaveLength(2)
    expect(bulkhead).toMatchObject({ queued: 1, refused: 2 })
  })
})

describe('refusals', () => {
  it('are counted: at once, for somebody more important, and in the queue', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const bulkhead = new Bulkhead({ limit: 1, queue: 1, queueTimeout: 10 })
    admitted(bulkhead)
    follow(bulkhead, 'a', [])
    thrownBy(() => bulkhead.acquire(call))
    expect(bulkhead.refused).toBe(1)
    follow(bulkhead, 'critical', [], critical)
    expect(bulkhead.refused).toBe(2)
    vi.advanceTimersByTime(10)
    expect(bulkhead.refused).toBe(3)
  })
})

describe('a bulkhead in shadow', () => {
  it('lets everything pass, and counts what it would have refused', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1, shadow: true })
    const notes = [0, 1, 2, 3].map(() => {
      const noted: Record<string, unknown> = {}
      expect(isPermit(bulkhead.acquire(scope(origin, noted)))).toBe(true)
      return noted['bulkhead.shadow']
    })
    expect(notes).toEqual([undefined, 'queued', 'full', 'full'])
    expect(bulkhead).toMatchObject({ inUse: 2, queued: 0, refused: 0, shadowRefused: 2 })
  })

  it('47: would have had a slot for the next one once a call is over', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 0, shadow: true })
    const [first, second] = [admitted(bulkhead), admitted(bulkhead)]
    second.settle(done, call)
    expect(bulkhead.inUse).toBe(1)
    first.settle(done, call)
    expect(bulkhead.idle).toBe(true)
    admitted(bulkhead)
    expect(bulkhead.shadowRefused).toBe(1)
  })

  it('lets those who wait go as it begins, and refuses again as it ends', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 5 })
    const log: string[] = []
    admitted(bulkhead)
    for (const name of ['a', 'b']) follow(bulkhead, name, log)
    change(bulkhead, { shadow: true })
    await microtasks()
    expect(log).toEqual(['a granted', 'b granted'])
    change(bulkhead, { shadow: false, queue: 0 })
    expect(thrownBy(() => bulkhead.acquire(call))).toBeInstanceOf(BulkheadFullError)
  })

  it('refuses an option that is no switch', () => {
    expect(() => new Bulkhead({ shadow: 'yes' as never })).toThrow('shadow must be true or false, got "yes"')
  })
})

it('28, 47: whatever changes in between, all are served or told, in order, and every slot comes back', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('start' as const), as: fc.nat(2) }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('end' as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('change' as const),
        limit: fc.integer({ min: 1, max: 4 }),
        queue: fc.nat(4),
        shadow: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      }),
    },
  )
  const run = fc.property(fc.array(step, { minLength: 5, maxLength: 80 }), (history) => {
    const bulkhead = new Bulkhead({ limit: 2, queue: 2 })
    const held: Permit[] = []
    const waiters: { as: number; came: number; granted: boolean; gone: boolean; cancel(): void }[] = []
    const here = () => waiters.filter(({ granted, gone }) => !granted && !gone)
    // Told in a microtask: what was decided shows by who still waits.
    const grants = (count: number) => {
      const next = here().sort((one, other) => one.as - other.as || one.came - other.came)
      for (const one of next.slice(0, count)) {
        one.granted = true
        held.push(bulkhead)
      }
    }
    let came = 0
    for (const command of history) {
      const waitingBefore = here().length
      if (command.type === 'start') {
        const { inUse, queued, settings } = bulkhead
        try {
          const got = bulkhead.acquire(byPriority[command.as]!)
          if (isPermit(got)) {
            expect(settings.shadow || inUse < settings.limit).toBe(true)
            held.push(got)
          } else {
            expect(inUse).toBeGreaterThanOrEqual(settings.limit)
            if (queued >= settings.queue) {
              const [last] = here().sort((one, other) => other.as - one.as || other.came - one.came)
              expect(last!.as).toBeGreaterThan(command.as)
              last!.gone = true
            }
            waiters.push({ as: command.as, came: came++, granted: false, gone: false, cancel: () => got.cancel?.() })
          }
        } catch (error) {
          expect(error).toBeInstanceOf(BulkheadFullError)
          expect(queued).toBeGreaterThanOrEqual(settings.queue)
        }
      } else if (command.type === 'end' && held.length > 0) {
        const [one] = held.splice(command.pick % held.length, 1)
        one!.settle(done, call)
        grants(waitingBefore - bulkhead.queued)
      } else if (command.type === 'cancel' && waitingBefore > 0) {
        const one = here()[command.pick % waitingBefore]!
        one.gone = true
        one.cancel()
      } else if (command.type === 'change') {
        const { limit, queue, shadow } = command
        change(bulkhead, { limit, queue, shadow })
        grants(waitingBefore - bulkhead.queued)
      }
      const { inUse, queued, settings } = bulkhead
      expect(queued).toBe(here().length)
      // Nobody waits while a slot is free.
      if (queued > 0) expect(inUse).toBeGreaterThanOrEqual(settings.limit)
    }
    for (const one of here()) one.cancel()
    for (const permit of held) permit.settle(done, call)
    expect(bulkhead).toMatchObject({ inUse: 0, queued: 0, idle: true })
  })
  await holds('bulkhead that changes', run)
})
