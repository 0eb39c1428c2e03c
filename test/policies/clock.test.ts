import { AsyncLocalStorage } from 'node:async_hooks'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { lane, laneUntil, type TimerEntry, TimerLane } from '../../src/policies/clock.ts'
import { holds } from './fixtures.ts'

class Entry implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  readonly act: (entry: Entry) => void
  constructor(act: (entry: Entry) => void = () => {}) {
    this.act = act
  }
  onTimer(): void {
    this.act(this)
  }
}

const fake = () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })

afterEach(() => {
  // First what was put upon the driven clock, then the clock.
  vi.restoreAllMocks()
  vi.useRealTimers()
})

describe('a lane on a driven clock', () => {
  beforeEach(() => {
    fake()
  })

  it('fires each entry once, when its time is up and not before', () => {
    const fired: string[] = []
    const timers = new TimerLane(100, false)
    timers.add(new Entry(() => fired.push('a')))
    vi.advanceTimersByTime(40)
    timers.add(new Entry(() => fired.push('b')))
    vi.advanceTimersByTime(59)
    expect(fired).toEqual([])
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['a'])
    vi.advanceTimersByTime(39)
    expect(fired).toEqual(['a'])
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['a', 'b'])
    vi.advanceTimersByTime(1000)
    expect(fired).toEqual(['a', 'b'])
    expect(timers.empty).toBe(true)
  })

  it('keeps one timer, however many wait', () => {
    const timers = new TimerLane(100, false)
    for (let index = 0; index < 50; index++) {
      timers.add(new Entry())
      vi.advanceTimersByTime(1)
    }
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(200)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('does not fire what was taken back, and taking back twice does nothing', () => {
    const fired: string[] = []
    const timers = new TimerLane(10, false)
    const entries = ['a', 'b', 'c'].map((name) => new Entry(() => fired.push(name)))
    for (const entry of entries) timers.add(entry)
    timers.remove(entries[1]!)
    timers.remove(entries[1]!)
    expect(entries[1]).toMatchObject({ timerAt: 0, timerNext: null, timerPrev: null })
    vi.advanceTimersByTime(10)
    timers.remove(entries[0]!)
    expect(fired).toEqual(['a', 'c'])
  })

  it('starts an entry anew that is added again', () => {
    const fired: number[] = []
    const timers = new TimerLane(10, false)
    const entry = new Entry(() => fired.push(performance.now()))
    const start = performance.now()
    timers.add(entry)
    vi.advanceTimersByTime(6)
    timers.add(entry)
    vi.advanceTimersByTime(6)
    expect(fired).toEqual([])
    vi.advanceTimersByTime(4)
    expect(fired).toEqual([start + 16])
  })

  it('lets entries add and remove while it fires', () => {
    const fired: string[] = []
    const timers = new TimerLane(10, false)
    const victim = new Entry(() => fired.push('victim'))
    timers.add(
      new Entry((self) => {
        fired.push('first')
        timers.remove(victim)
        if (fired.length < 3) timers.add(self)
      }),
    )
    timers.add(victim)
    timers.add(new Entry(() => fired.push('last')))
    vi.advanceTimersByTime(10)
    expect(fired).toEqual(['first', 'last'])
    vi.advanceTimersByTime(9)
    expect(fired).toEqual(['first', 'last'])
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['first', 'last', 'first'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('loses no entry to another one that throws, and lets the error out on a stack of its own', () => {
    const thrown: (() => void)[] = []
    vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((run) => {
      thrown.push(run)
    })
    const fired: string[] = []
    const timers = new TimerLane(10, false)
    timers.add(
      new Entry(() => {
        throw new Error('mine')
      }),
    )
    timers.add(new Entry(() => fired.push('same time')))
    vi.advanceTimersByTime(5)
    timers.add(new Entry(() => fired.push('later')))
    vi.advanceTimersByTime(10)
    expect(fired).toEqual(['same time', 'later'])
    expect(thrown).toHaveLength(1)
    expect(thrown[0]).toThrow('mine')
  })

  it('stays in order where a caller gives an older reading of the clock', () => {
    const fired: string[] = []
    const timers = new TimerLane(100, false)
    vi.advanceTimersByTime(50)
    const now = performance.now()
    timers.add(new Entry(() => fired.push('c')), now)
    timers.add(new Entry(() => fired.push('a')), now - 20)
    timers.add(new Entry(() => fired.push('b')), now - 10)
    timers.add(new Entry(() => fired.push('d')), now)
    vi.advanceTimersByTime(99)
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['a', 'b', 'c', 'd'])
  })

  it('holds for a duration that no timer can', () => {
    const set = vi.spyOn(globalThis, 'setTimeout')
    const fired: string[] = []
    const timers = new TimerLane(2 ** 31 + 10_000, false)
    timers.add(new Entry(() => fired.push('late')))
    vi.advanceTimersByTime(2 ** 31 + 9_999)
    expect(fired).toEqual([])
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['late'])
    for (const [, delay] of set.mock.calls) expect(delay).toBeLessThan(2 ** 31)
  })

  it('works on after the clock under it was swapped', () => {
    const fired: string[] = []
    const timers = new TimerLane(10, false)
    timers.add(new Entry(() => fired.push('lost with its clock')))
    vi.useRealTimers()
    fake()
    timers.add(new Entry(() => fired.push('after')))
    vi.advanceTimersByTime(1000)
    expect(fired).toContain('after')
  })

  it('keeps one timer also where two clocks run', () => {
    const timers = new TimerLane(100, false)
    timers.add(new Entry())
    const original = setTimeout
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, delay: number, ...rest: unknown[]) =>
      original(run, delay, ...(rest as []))) as typeof setTimeout)
    timers.add(new Entry())
    expect(vi.getTimerCount()).toBe(2)
    vi.advanceTimersByTime(50)
    timers.add(new Entry())
    vi.advanceTimersByTime(50)
    expect(vi.getTimerCount()).toBe(1)
  })

  it('agrees with a naive schedule over random histories', () => {
    const command = fc.oneof(
      fc.record({ type: fc.constant('add' as const), id: fc.nat(9) }),
      fc.record({ type: fc.constant('remove' as const), id: fc.nat(9) }),
      fc.record({ type: fc.constant('advance' as const), ms: fc.nat(400).map((quarters) => quarters / 4) }),
    )
    const run = fc.property(
      fc.integer({ min: 1, max: 120 }),
      fc.array(command, { maxLength: 80 }),
      (duration, history) => {
        vi.useRealTimers()
        fake()
        const timers = new TimerLane(duration, false)
        const due = new Map<number, number>()
        const entries = Array.from({ length: 10 }, (_, id) => {
          return new Entry(() => {
            const at = due.get(id)
            expect(at, `entry ${id} fired without being due`).toBeDefined()
            due.delete(id)
            const late = performance.now() - at!
            expect(late).toBeGreaterThanOrEqual(0)
            expect(late).toBeLessThanOrEqual(2)
            // First in, first out: nothing that still waits was due before.
            for (const other of due.values()) expect(other).toBeGreaterThanOrEqual(at!)
          })
        })
        for (const step of history) {
          if (step.type === 'add') {
            timers.add(entries[step.id]!)
            due.set(step.id, performance.now() + duration)
          } else if (step.type === 'remove') {
            timers.remove(entries[step.id]!)
            due.delete(step.id)
          } else {
            vi.advanceTimersByTime(step.ms)
            for (const at of due.values()) expect(at).toBeGreaterThan(performance.now() - 2)
          }
          expect(timers.empty).toBe(due.size === 0)
        }
        vi.advanceTimersByTime(duration + 2)
        expect(due.size).toBe(0)
        expect(vi.getTimerCount()).toBe(0)
      },
    )
    holds('lane against a naive schedule', run)
  })
})

describe('a lane on the real clock', () => {
  it('24: never fires early', async () => {
    const early: number[] = []
    await Promise.all(
      Array.from({ length: 25 }, (_, index) => {
        const duration = index + 1
        return new Promise<void>((resolve) => {
          const start = performance.now()
          const timers = new TimerLane(duration, true)
          const check = () => {
            const elapsed = performance.now() - start
            if (elapsed < duration) early.push(elapsed - duration)
            resolve()
          }
          timers.add(new Entry(check), start)
        })
      }),
    )
    expect(early).toEqual([])
  })

  it('keeps the process alive only while something waits, and only if asked to', () => {
    const held = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = held()
    const plain = new TimerLane(30_000, false)
    const entry = new Entry()
    plain.add(entry)
    expect(held()).toBe(before)
    plain.remove(entry)

    const keeping = new TimerLane(30_000, true)
    keeping.add(entry)
    expect(held()).toBe(before + 1)
    keeping.remove(entry)
    expect(held()).toBe(before)
    keeping.add(entry)
    expect(held()).toBe(before + 1)
    keeping.remove(entry)
    plain.disarm()
    keeping.disarm()
  })

  it('fires outside the async context of whoever armed it', async () => {
    const context = new AsyncLocalStorage<string>()
    const timers = new TimerLane(1, true)
    const seen = await context.run('a call', () => {
      return new Promise((resolve) => timers.add(new Entry(() => resolve(context.getStore()))))
    })
    expect(seen).toBeUndefined()
  })
})

describe('lanes', () => {
  beforeEach(() => {
    fake()
  })

  it('are shared by duration, in whole milliseconds of at least 1, and by what they keep alive', () => {
    expect(lane(7001)).toBe(lane(7001))
    expect(lane(7000.2)).toBe(lane(7001))
    expect(lane(7000.2).duration).toBe(7001)
    expect(lane(0).duration).toBe(1)
    expect(lane(7001, true)).not.toBe(lane(7001))
    expect(lane(7001, true)).toBe(lane(7001, true))
  })

  it('are dropped when empty, so that random durations do not pile up, but never while something waits', () => {
    const fired: string[] = []
    const busy = lane(5000)
    busy.add(new Entry(() => fired.push('busy')))
    for (let duration = 10_000; duration < 10_500; duration++) {
      const passing = lane(duration)
      const entry = new Entry()
      passing.add(entry)
      passing.remove(entry)
    }
    expect(lane(5000)).toBe(busy)
    expect(vi.getTimerCount()).toBeLessThan(100)
    vi.advanceTimersByTime(5000)
    expect(fired).toEqual(['busy'])
  })

  it('for times that are never twice the same are few, and none is shorter than the time', () => {
    const found = new Set<TimerLane>()
    for (let remaining = 1; remaining < 60_000; remaining += 7.3) {
      const until = laneUntil(remaining)
      expect(until.duration).toBeGreaterThanOrEqual(remaining)
      expect(until.duration).toBeLessThanOrEqual(Math.ceil(remaining) * 1.25 + 1)
      found.add(until)
    }
    expect(found.size).toBeLessThan(70)
    for (const far of [2 ** 31 - 2, 2 ** 31, 1e12]) expect(laneUntil(far).duration).toBe(2 ** 31 - 1)
    for (const past of [0, -5]) expect(laneUntil(past).duration).toBe(1)
  })

  it('stay the same while in use, however many there are', () => {
    let fired = 0
    const busy = new Map<TimerLane, Entry>()
    for (let duration = 20_000; duration < 20_300; duration++) {
      const entry = new Entry(() => fired++)
      lane(duration).add(entry)
      busy.set(lane(duration), entry)
    }
    expect(busy.size).toBe(300)
    for (const [timers, entry] of busy) {
      expect(lane(timers.duration)).toBe(timers)
      if (timers.duration % 2 === 0) timers.remove(entry)
    }
    vi.advanceTimersByTime(20_300)
    expect(fired).toBe(150)
  })
})
