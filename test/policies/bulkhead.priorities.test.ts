import { afterEach, describe, expect, it, vi } from 'vitest'
import { Bulkhead } from '../../src/policies/bulkhead.ts'
import { BulkheadFullError } from '../../src/policies/errors.ts'
import type { Permit, Waiting } from '../../src/policies/policy.ts'
import {
  admitted,
  byPriority,
  call,
  critical,
  done,
  follow,
  isPermit,
  origin,
  sheddable,
  waiting,
} from './bulkhead-fixtures.ts'
import { microtasks } from './fixtures.ts'

afterEach(() => {
  vi.useRealTimers()
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
