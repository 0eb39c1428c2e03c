import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Bulkhead, type BulkheadOptions, bulkheadDefaults } from '../../src/policies/bulkhead.ts'
import { BulkheadFullError } from '../../src/policies/errors.ts'
import type { Permit, Waiting } from '../../src/policies/policy.ts'
import { admitted, byPriority, call, done, follow, isPermit, origin, waiting } from './bulkhead-fixtures.ts'
import { holds, microtasks, thrownBy } from './fixtures.ts'

afterEach(() => {
  vi.useRealTimers()
})

describe('slots', () => {
  it('47: are free the moment a call settles, so that the next one needs no queue', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 0 })
    for (let index = 0; index < 100; index++) {
      const permit = admitted(bulkhead)
      expect(bulkhead.inUse).toBe(1)
      permit.settle(done, call)
      expect(bulkhead.inUse).toBe(0)
    }
  })

  it('are one shared permit: nothing is made for a call that does not wait', () => {
    const bulkhead = new Bulkhead({ limit: 2 })
    expect(admitted(bulkhead)).toBe(admitted(bulkhead))
    expect(bulkhead).toMatchObject({ inUse: 2, queued: 0, idle: false })
  })

  it('are refused beyond limit and queue, with an error that names origin, limit and queue', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1 })
    admitted(bulkhead)
    waiting(bulkhead)
    const error = thrownBy(() => bulkhead.acquire(call))
    expect(error).toBeInstanceOf(BulkheadFullError)
    expect(error).toMatchObject({
      code: 'ERR_BULKHEAD_FULL',
      origin,
      message: `the bulkhead of ${origin} is full (limit 1, queue 1)`,
    })
    expect(bulkhead).toMatchObject({ inUse: 1, queued: 1 })
  })
})

describe('the queue', () => {
  it('28: is first come, first served', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    const followed = ['a', 'b', 'c'].map((name) => follow(bulkhead, name, log))
    permit.settle(done, call)
    await microtasks()
    expect(log).toEqual(['a granted'])
    followed[0]!.permit!.settle(done, call)
    await microtasks()
    expect(log).toEqual(['a granted', 'b granted'])
    followed[1]!.permit!.settle(done, call)
    followed[2]!.place.cancel()
    await microtasks()
    expect(log).toEqual(['a granted', 'b granted'])
    expect(bulkhead.idle).toBe(true)
  })

  it('28: lets nobody overtake a waiter whose slot is on its way', () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1 })
    const permit = admitted(bulkhead)
    waiting(bulkhead)
    permit.settle(done, call)
    expect(bulkhead).toMatchObject({ inUse: 1, queued: 0 })
    expect(isPermit(bulkhead.acquire(call))).toBe(false)
  })

  it('hands a slot on in a microtask, not on the stack of the call that gave it back', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    follow(bulkhead, 'a', log)
    permit.settle(done, call)
    expect(log).toEqual([])
    await Promise.resolve()
    expect(log).toEqual(['a granted'])
  })

  it('unwinds a long queue of calls that end at once without recursion', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 20_000 })
    const permit = admitted(bulkhead)
    let ended = 0
    for (let index = 0; index < 20_000; index++) {
      waiting(bulkhead).then(
        (granted) => {
          ended++
          granted!.settle(done, call)
        },
        () => {},
      )
    }
    permit.settle(done, call)
    await microtasks()
    expect(ended).toBe(20_000)
    expect(bulkhead).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('27: an aborted waiter leaves at once, and its place is free', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 2 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    const first = follow(bulkhead, 'a', log)
    follow(bulkhead, 'b', log)
    expect(() => bulkhead.acquire(call)).toThrow(BulkheadFullError)
    first.place.cancel()
    expect(bulkhead.queued).toBe(1)
    follow(bulkhead, 'c', log)
    first.place.cancel()
    expect(bulkhead.queued).toBe(2)
    permit.settle(done, call)
    await microtasks()
    expect(log).toEqual(['b granted'])
  })

  it('27: a waiter that gives up while its slot is on the way passes it on', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    const first = follow(bulkhead, 'a', log)
    const second = follow(bulkhead, 'b', log)
    const third = follow(bulkhead, 'c', log)
    permit.settle(done, call)
    first.place.cancel()
    second.place.cancel()
    await microtasks()
    expect(log).toEqual(['c granted'])
    third.permit!.settle(done, call)
    expect(bulkhead).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('29: giving up after the slot came changes nothing: the permit gives it back', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    const first = follow(bulkhead, 'a', log)
    permit.settle(done, call)
    await microtasks()
    first.place.cancel()
    expect(bulkhead.inUse).toBe(1)
    first.permit!.settle(done, call)
    expect(bulkhead.inUse).toBe(0)
  })

  it('can be awaited, also where the slot came before anyone listened', async () => {
    const bulkhead = new Bulkhead({ limit: 1 })
    const permit = admitted(bulkhead)
    const place = waiting(bulkhead)
    permit.settle(done, call)
    await microtasks()
    const granted = (await (place as unknown as PromiseLike<Permit>)) as Permit
    expect(bulkhead.inUse).toBe(1)
    granted.settle(done, call)
    expect(bulkhead.inUse).toBe(0)
  })
})

describe('queueTimeout', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })

  it('27: bounds the wait in time and frees the place', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1, queueTimeout: 50 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    follow(bulkhead, 'a', log)
    vi.advanceTimersByTime(49)
    expect(log).toEqual([])
    vi.advanceTimersByTime(1)
    expect(log).toEqual([`a refused: the bulkhead of ${origin} had no slot free within 50 ms (limit 1, queue 1)`])
    expect(bulkhead).toMatchObject({ inUse: 1, queued: 0 })
    permit.settle(done, call)
    await microtasks()
    expect(log).toHaveLength(1)
    expect(bulkhead.idle).toBe(true)
  })

  it('refuses with a BulkheadFullError, also whoever listens late', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queueTimeout: 50 })
    admitted(bulkhead)
    const place = waiting(bulkhead)
    vi.advanceTimersByTime(50)
    await expect(place as unknown as PromiseLike<Permit>).rejects.toBeInstanceOf(BulkheadFullError)
  })

  it('ends with the wait: neither a granted nor a cancelled call is refused later', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queueTimeout: 50 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    follow(bulkhead, 'a', log)
    follow(bulkhead, 'b', log).place.cancel()
    permit.settle(done, call)
    vi.advanceTimersByTime(100)
    await microtasks()
    expect(log).toEqual(['a granted'])
  })
})

describe('against a model', () => {
  it('28, 47: never exceeds its limit, serves in order, refuses only when full, and gives every slot back', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ type: fc.constant('acquire' as const), pick: fc.nat({ max: 2 }) }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant('settle' as const), pick: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
      { weight: 2, arbitrary: fc.constant({ type: 'deliver' as const }) },
    )
    const run = fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 4 }),
      fc.array(step, { maxLength: 100 }),
      async (limit, queue, history) => {
        const bulkhead = new Bulkhead({ limit, queue })
        // The model: ids that hold a slot and know it, ids whose slot is on the way, ids that wait, in order.
        const holding: number[] = []
        const coming: number[] = []
        const queued: number[] = []
        const priorities = new Map<number, number>()
        const priorityOf = (mine: number) => priorities.get(mine) as number
        const displaced: number[] = []
        const refused: number[] = []
        const places = new Map<number, Waiting>()
        const permits = new Map<number, Permit>()
        const granted: number[] = []
        let id = 0
        // The sort is stable: among equals the first comes first.
        const inOrder = () => queued.toSorted((a, b) => priorityOf(a) - priorityOf(b))
        const take = (mine: number) => queued.splice(queued.indexOf(mine), 1)[0]!
        const free = () => {
          const [next] = inOrder()
          if (next !== undefined) coming.push(take(next))
        }
        const pickFrom = (ids: number[], pick: number) => ids.splice(pick % ids.length, 1)[0]!
        for (const command of history) {
          if (command.type === 'acquire') {
            const mine = id++
            const as = byPriority[command.pick] as typeof call
            priorities.set(mine, command.pick)
            const last = inOrder().at(-1)
            const isFull = queued.length >= queue && (last === undefined || priorityOf(last) <= command.pick)
            if (holding.length + coming.length < limit) {
              permits.set(mine, admitted(bulkhead))
              holding.push(mine)
            } else if (isFull) {
              expect(() => bulkhead.acquire(as)).toThrow(BulkheadFullError)
            } else {
              if (queued.length >= queue) displaced.push(take(last as number))
              const place = waiting(bulkhead, as)
              places.set(mine, place)
              queued.push(mine)
              place.then(
                (permit) => {
                  permits.set(mine, permit!)
                  granted.push(mine)
                },
                () => refused.push(mine),
              )
            }
          } else if (command.type === 'settle' && holding.length > 0) {
            permits.get(pickFrom(holding, command.pick))!.settle(done, call)
            free()
          } else if (command.type === 'cancel' && queued.length + coming.length > 0) {
            const all = [...coming, ...queued]
            const leaving = pickFrom(all, command.pick)
            places.get(leaving)!.cancel()
            if (queued.includes(leaving)) {
              take(leaving)
            } else {
              coming.splice(coming.indexOf(leaving), 1)
              free()
            }
          } else if (command.type === 'deliver') {
            await microtasks()
            expect(refused.splice(0)).toEqual(displaced.splice(0))
            expect(granted.splice(0)).toEqual(coming)
            holding.push(...coming.splice(0))
          }
          expect(bulkhead.inUse).toBe(holding.length + coming.length)
          expect(bulkhead.inUse).toBeLessThanOrEqual(limit)
          expect(bulkhead.queued).toBe(queued.length)
        }
        while (holding.length + coming.length + queued.length > 0) {
          await microtasks()
          holding.push(...coming.splice(0))
          for (const mine of holding.splice(0)) {
            permits.get(mine)!.settle(done, call)
            free()
          }
        }
        expect(bulkhead).toMatchObject({ inUse: 0, queued: 0, idle: true })
      },
    )
    await holds('bulkhead against its model', run)
  })
})

describe('options', () => {
  it('are 256 slots, a queue of 1024 and no time limit of its own', () => {
    expect(bulkheadDefaults).toEqual({ limit: 256, queue: 1024, queueTimeout: undefined, shadow: false })
    expect(new Bulkhead().settings).toEqual(bulkheadDefaults)
  })

  it.each<[BulkheadOptions, string]>([
    [{ limit: 0 }, 'bulkhead: limit must be a whole number of at least 1, got 0'],
    [{ limit: 1.5 }, 'limit must be a whole number of at least 1, got 1.5'],
    [{ queue: -1 }, 'queue must be a whole number of at least 0, got -1'],
    [{ queue: Number.POSITIVE_INFINITY }, 'queue must be a whole number of at least 0, got Infinity'],
    [{ queueTimeout: 0 }, 'queueTimeout must be a number from 1 to 2147483647, got 0'],
    [{ size: 4 } as BulkheadOptions, 'bulkhead: unknown option "size"; known are limit, queue, queueTimeout'],
  ])('refuses %o', (options, message) => {
    expect(() => new Bulkhead(options)).toThrow(message)
  })
})
