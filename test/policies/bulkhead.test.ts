import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Bulkhead, type BulkheadOptions, bulkheadDefaults } from '../../src/policies/bulkhead.ts'
import { BulkheadFullError } from '../../src/policies/errors.ts'
import type { Permit, Waiting } from '../../src/policies/policy.ts'
import { holds, microtasks, outcome, scope, thrownBy } from './fixtures.ts'

const origin = 'https://a.test'
const call = scope(origin)
const critical = scope(origin, {}, 0)
const sheddable = scope(origin, {}, 2)
const byPriority = [critical, call, sheddable]
const done = outcome('success')

const isPermit = (got: Permit | Waiting): got is Permit => 'settle' in got

function admitted(bulkhead: Bulkhead): Permit {
  const got = bulkhead.acquire(call)
  if (!isPermit(got)) throw new Error('had to wait')
  return got
}

function waiting(bulkhead: Bulkhead, as = call): Waiting {
  const got = bulkhead.acquire(as)
  if (isPermit(got)) throw new Error('was admitted')
  return got
}

/** Waits, and notes what came of it. */
function follow(bulkhead: Bulkhead, name: string, log: string[], as = call): { place: Waiting; permit: Permit | null } {
  const followed: { place: Waiting; permit: Permit | null } = { place: waiting(bulkhead, as), permit: null }
  followed.place.then(
    (permit) => {
      followed.permit = permit
      log.push(`${name} granted`)
    },
    (error) => log.push(`${name} refused: ${(error as Error).message}`),
  )
  return followed
}

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

describe('priorities', () => {
  /** Fills the only slot, then the queue, one waiter for each name: `c`ritical, `n`ormal or `s`heddable, and a number. */
  function queueOf(names: string, queue = 10) {
    const bulkhead = new Bulkhead({ limit: 1, queue })
    const log: string[] = []
    const permit = admitted(bulkhead)
    const places = new Map<string, Waiting>()
    const join = (name: string) => {
      const as = byPriority['cns'.indexOf(name[0] as string)] as typeof call
      const { place } = follow(bulkhead, name, log, as)
      places.set(name, place)
    }
    for (const name of names.split(' ')) join(name)
    /** Serves whoever waits, one after the other. */
    const serve = async () => {
      log.length = 0
      permit.settle(done, call)
      while (bulkhead.inUse > 0) {
        await microtasks()
        bulkhead.settle()
      }
      return log.map((line) => line.split(' ')[0]).join(' ')
    }
    return { bulkhead, log, places, join, serve }
  }

  it('28: critical calls are served before normal ones, these before sheddable ones, each kind in its order', async () => {
    const { serve } = queueOf('s1 n1 s2 c1 n2 c2')
    expect(await serve()).toBe('c1 c2 n1 n2 s1 s2')
  })

  it('28: whoever leaves from the middle leaves the others in order', async () => {
    const { bulkhead, places, join, serve } = queueOf('s1 n1 s2 n2 c1 s3')
    for (const name of ['s2', 'n1', 'c1', 'n1']) places.get(name)!.cancel()
    expect(bulkhead.queued).toBe(3)
    join('n3')
    expect(await serve()).toBe('n2 n3 s1 s3')
  })

  it('28: a free slot is taken at once, whatever the priority', () => {
    const bulkhead = new Bulkhead({ limit: 2, queue: 0 })
    expect(isPermit(bulkhead.acquire(sheddable))).toBe(true)
    expect(isPermit(bulkhead.acquire(critical))).toBe(true)
  })

  it.each([
    ['the youngest sheddable one', 's1 n1 s2 n2', 'c1', 's2', 'c1 n1 n2 s1'],
    ['a sheddable one, by a normal one', 'n1 s1', 'n2', 's1', 'n1 n2'],
    ['the youngest normal one where none is sheddable', 'n1 n2 c1', 'c2', 'n2', 'c1 c2 n1'],
  ])('28: in a full queue a more important call displaces %s', async (_, names, newcomer, displaced, left) => {
    const { bulkhead, log, join, serve } = queueOf(names, names.split(' ').length)
    const before = bulkhead.queued
    join(newcomer)
    // Not on the stack of the call that took the place.
    expect(log).toEqual([])
    await microtasks()
    expect(log).toEqual([
      `${displaced} refused: the bulkhead of ${origin} is full, and a more important call took the place (limit 1, queue ${before})`,
    ])
    expect(bulkhead.queued).toBe(before)
    expect(await serve()).toBe(left)
  })

  it.each([
    ['n1 n2', 'n3'],
    ['n1 c1', 's1'],
    ['c1 c2', 'c3'],
    ['s1 s2', 's3'],
  ])('28: a queue of %s is full for %s', async (names, newcomer) => {
    const { log, join, serve } = queueOf(names, 2)
    expect(() => join(newcomer)).toThrow(BulkheadFullError)
    await microtasks()
    expect(log).toEqual([])
    expect(await serve()).toBe(names.split(' ').sort().join(' '))
  })

  it('28: a call whose slot is on its way is not displaced', async () => {
    const bulkhead = new Bulkhead({ limit: 1, queue: 1 })
    const log: string[] = []
    const permit = admitted(bulkhead)
    follow(bulkhead, 's', log, sheddable)
    permit.settle(done, call)
    follow(bulkhead, 'c', log, critical)
    expect(() => bulkhead.acquire(critical)).toThrow(BulkheadFullError)
    await microtasks()
    expect(log).toEqual(['s granted'])
  })

  it('28: who is displaced and gives up before it hears of it hears nothing', async () => {
    const { bulkhead, log, places, join, serve } = queueOf('s1', 1)
    join('c1')
    places.get('s1')!.cancel()
    await microtasks()
    expect(log).toEqual([])
    expect(bulkhead).toMatchObject({ inUse: 1, queued: 1 })
    expect(await serve()).toBe('c1')
  })

  it('28: who is displaced hears of it also where it listens late, and its time in the queue is over', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const bulkhead = new Bulkhead({ limit: 1, queue: 1, queueTimeout: 50 })
    admitted(bulkhead)
    const place = waiting(bulkhead, sheddable)
    waiting(bulkhead, critical).cancel()
    vi.advanceTimersByTime(100)
    await expect(place as unknown as PromiseLike<Permit>).rejects.toThrow('a more important call took the place')
    expect(bulkhead).toMatchObject({ inUse: 1, queued: 0 })
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
    expect(bulkheadDefaults).toEqual({ limit: 256, queue: 1024, queueTimeout: undefined })
    expect(new Bulkhead().settings).toEqual(bulkheadDefaults)
  })

  it.each<[BulkheadOptions, string]>([
    [{ limit: 0 }, 'limit must be a whole number of at least 1, got 0'],
    [{ limit: 1.5 }, 'limit must be a whole number of at least 1, got 1.5'],
    [{ queue: -1 }, 'queue must be a whole number of at least 0, got -1'],
    [{ queue: Number.POSITIVE_INFINITY }, 'queue must be a whole number of at least 0, got Infinity'],
    [{ queueTimeout: 0 }, 'queueTimeout must be a number from 1 to 2147483647, got 0'],
    [{ size: 4 } as BulkheadOptions, 'bulkhead: unknown option "size"; known are limit, queue, queueTimeout'],
  ])('refuses %o', (options, message) => {
    expect(() => new Bulkhead(options)).toThrow(message)
  })
})
