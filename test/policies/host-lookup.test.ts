// When hosts are looked up, who waits for it, and what holds while it fails. Time is virtual.
import { AsyncLocalStorage } from 'node:async_hooks'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { HostLookup } from '../../src/policies/host-lookup.ts'
import type { HostAnswer, HostFunction } from '../../src/policies/host-source.ts'
import { scope } from './fixtures.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const advance = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds)

interface Pending {
  answer(hosts: HostAnswer): void
  fail(error: unknown): void
}

/** A source whose answers the test gives, and a lookup that asks it. */
function lookUp(hasHosts = false, refresh = 1_000) {
  const asked: Pending[] = []
  const source: HostFunction = () =>
    new Promise((resolve, reject) => {
      asked.push({ answer: resolve, fail: reject })
    })
  return { asked, ...followed(source, hasHosts, refresh) }
}

function followed(source: HostFunction, hasHosts = false, refresh = 1_000) {
  const lists: string[][] = []
  const failures: unknown[] = []
  const notes: Record<string, unknown> = {}
  const log: string[] = []
  const lookup = new HostLookup(source, { name: 'users', refresh }, hasHosts, {
    found: (specs) => void lists.push(specs.map(({ origin }) => origin)),
    failed: (error) => void failures.push(error),
  })
  const asks = scope('http://users', notes)
  /** `now`: it need not wait; else the name is logged when its wait is over. */
  const call = (name = 'a') => {
    const waiting = lookup.ask(asks, performance.now())
    if (waiting === null) return 'now'
    waiting.then(
      () => void log.push(name),
      (error) => void log.push(`${name}: ${(error as Error).message}`),
    )
    return waiting
  }
  return { lookup, lists, failures, notes, log, call }
}

it('the first calls wait for the first list, which is looked up once', async () => {
  const { asked, call, log, lists } = lookUp()
  expect(call('a')).not.toBe('now')
  expect(call('b')).not.toBe('now')
  expect(asked).toHaveLength(1)
  asked[0]?.answer(['http://a', 'http://b'])
  await advance(0)
  expect(log).toEqual(['a', 'b'])
  expect(lists).toEqual([['http://a', 'http://b']])
  expect(call()).toBe('now')
})

it('one that answers at once holds up no call', () => {
  const { call, lists } = followed(() => ['http://a'])
  expect(call()).toBe('now')
  expect(lists).toEqual([['http://a']])
})

it('a list older than its time is used on while one look-up runs; without calls there is none', async () => {
  const { asked, call, lists } = lookUp()
  call()
  asked[0]?.answer(['http://a'])
  await advance(999)
  expect(call()).toBe('now')
  expect(asked).toHaveLength(1)
  await advance(1)
  expect(asked).toHaveLength(1)
  for (let at = 0; at < 3; at++) expect(call()).toBe('now')
  expect(asked).toHaveLength(2)
  asked[1]?.answer(['http://b'])
  await advance(0)
  expect(lists.at(-1)).toEqual(['http://b'])
  call()
  expect(asked).toHaveLength(2)
})

it('an answer may say itself how long it holds', async () => {
  const { asked, call } = lookUp()
  call()
  asked[0]?.answer({ hosts: ['http://a'], ttl: 5_000 })
  await advance(4_999)
  call()
  expect(asked).toHaveLength(1)
  await advance(1)
  call()
  expect(asked).toHaveLength(2)
})

it('a first look-up that fails fails those who wait; the next is tried after 100 ms, 200 ms and so on up to 5 s', async () => {
  const { asked, call, log } = lookUp()
  for (const backoff of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    call('a')
    const count = asked.length
    asked.at(-1)?.fail(new Error('no route'))
    await advance(backoff - 1)
    expect(log.splice(0)).toEqual(['a: No host of users to call: no route'])
    expect(() => call()).toThrow(expect.objectContaining({ code: 'ERR_NO_HOST', cause: new Error('no route') }))
    expect(asked).toHaveLength(count)
    await advance(1)
  }
  call('b')
  asked.at(-1)?.answer(['http://a'])
  await advance(0)
  expect(log).toEqual(['b'])
})

it('hosts that are known are used on, for as long as look-ups fail; that is told once', async () => {
  const { asked, call, failures, lists, notes } = lookUp()
  call()
  asked[0]?.answer(['http://a'])
  await advance(1_000)
  expect(notes).toEqual({})
  for (let at = 0; at < 50; at++) {
    const before = asked.length
    expect(call()).toBe('now')
    if (asked.length > before) asked.at(-1)?.fail(new Error(`no route ${at}`))
    await advance(5_000)
  }
  expect(asked).toHaveLength(51)
  expect(failures).toEqual([new Error('no route 0')])
  expect(notes).toEqual({ 'balance.hosts': 'stale' })
  expect(lists).toEqual([['http://a']])
  call()
  asked.at(-1)?.answer(['http://a'])
  await advance(1_000)
  call()
  asked.at(-1)?.fail(new Error('again'))
  await advance(0)
  expect(failures).toHaveLength(2)
})

it.each([
  ['no list', 'http://a'],
  ['a wrong origin', ['ftp://a']],
  ['a wrong weight', [{ origin: 'http://a', weight: -1 }]],
  ['a wrong ttl', { hosts: ['http://a'], ttl: -1 }],
  ['nothing', undefined],
])('an answer with %s is a failure', async (_what, answer) => {
  const { asked, call, failures, lists, log } = lookUp()
  call('a')
  asked[0]?.answer(answer as never)
  await advance(100)
  expect(log).toEqual([expect.stringContaining('a: No host of users to call:')])
  call('b')
  asked[1]?.answer(['http://a'])
  await advance(1_000)
  call('c')
  asked[2]?.answer(answer as never)
  await advance(0)
  expect(failures).toHaveLength(1)
  expect(lists).toEqual([['http://a']])
})

it('a function that throws has failed as well', () => {
  const { call } = followed(() => {
    throw new Error('thrown')
  })
  expect(() => call()).toThrow('No host of users to call: thrown')
})

it('an empty list is an answer: nobody serves the group until another comes', async () => {
  const { asked, call, log, lists } = lookUp()
  call()
  asked[0]?.answer(['http://a'])
  await advance(1_000)
  expect(call()).toBe('now')
  asked[1]?.answer([])
  await advance(0)
  expect(lists.at(-1)).toEqual([])
  expect(() => call()).toThrow('No host of users to call: the list of hosts is empty')
  await advance(100)
  call('b')
  asked[2]?.answer(['http://b'])
  await advance(0)
  expect(log).toEqual(['a', 'b'])
})

it('a list ten times older than its time is waited for, a second at most, and once', async () => {
  const { asked, call, log } = lookUp()
  call()
  asked[0]?.answer(['http://a'])
  await advance(10_000)
  log.length = 0
  expect(call('a')).not.toBe('now')
  asked[1]?.answer(['http://b'])
  await advance(0)
  expect(log).toEqual(['a'])

  await advance(10_000)
  call('b')
  await advance(999)
  expect(log).toEqual(['a'])
  await advance(1)
  expect(log).toEqual(['a', 'b'])
  expect(call('c')).toBe('now')
  asked[2]?.answer(['http://b'])
  await advance(10_000)
  expect(call('d')).not.toBe('now')
  asked[3]?.fail(new Error('no route'))
  await advance(0)
  expect(log).toEqual(['a', 'b', 'd'])
})

it('a list with a short time is not old before five seconds', async () => {
  const { asked, call } = lookUp(false, 10)
  call()
  asked[0]?.answer(['http://a'])
  await advance(4_999)
  expect(call()).toBe('now')
  await advance(1)
  expect(call()).not.toBe('now')
})

it('a look-up that never answers holds a call for ten seconds, and then another begins; the first answer counts', async () => {
  const { asked, call, log, lists } = lookUp()
  call('a')
  await advance(10_000)
  expect(log).toEqual(['a: No host of users to call: no list of hosts came within 10000 ms'])
  call('b')
  expect(asked).toHaveLength(2)
  asked[0]?.answer(['http://a'])
  await advance(0)
  expect(log.at(-1)).toBe('b')
  await advance(1_000)
  call('c')
  expect(asked).toHaveLength(2)
  await advance(9_000)
  call('d')
  expect(asked).toHaveLength(3)
  asked[1]?.fail(new Error('late'))
  asked[2]?.answer(['http://c'])
  await advance(0)
  asked[1]?.answer(['http://b'])
  await advance(0)
  expect(lists).toEqual([['http://a'], ['http://c']])
})

it('a call that gives up leaves; one that was let go just before is not told', async () => {
  const { call, log, lookup } = lookUp()
  const first = call('a')
  const second = call('b')
  call('c')
  if (first === 'now' || second === 'now') throw new Error('did not wait')
  first.cancel()
  lookup.close()
  second.cancel()
  await advance(10_000)
  expect(log).toEqual(['c'])
})

it('hosts of an earlier source are used where the new one fails, or takes too long', async () => {
  const failing = lookUp(true)
  failing.call('a')
  failing.asked[0]?.fail(new Error('no route'))
  await advance(0)
  expect(failing.log).toEqual(['a'])
  expect(failing.call('b')).toBe('now')
  const slow = lookUp(true)
  slow.call('a')
  await advance(1_000)
  expect(slow.log).toEqual(['a'])
  expect(slow.call('b')).toBe('now')
})

it('a source that was replaced is heard no more, and lets go who waits', async () => {
  const { asked, call, log, lists, failures, lookup } = lookUp()
  call('a')
  lookup.close()
  await advance(0)
  expect(log).toEqual(['a'])
  asked[0]?.answer(['http://a'])
  await advance(0)
  expect(lists).toEqual([])
  expect(failures).toEqual([])
})

it('another time for a list holds for the one that is known', async () => {
  const { asked, call, lookup } = lookUp()
  call()
  asked[0]?.answer(['http://a'])
  await advance(500)
  lookup.update({ name: 'users', refresh: 400 })
  call()
  expect(asked).toHaveLength(2)
  asked[1]?.answer(['http://a'])
  await advance(0)
  lookup.update({ name: 'users', refresh: 60_000 })
  await advance(59_999)
  call()
  expect(asked).toHaveLength(2)
})

it('a look-up does not run in the async context of the call that began it', async () => {
  const caller = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const { call } = followed(() => {
    seen.push(caller.getStore())
    return ['http://a']
  })
  caller.run('a request', () => call())
  expect(seen).toEqual([undefined])
})

// Whatever happens: a call is let go or refused exactly once, it never waits for longer than ten seconds, none is refused
// while hosts are known, and look-ups begin at least 100 ms apart.
it('any history of answers, failures and waits', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('call' as const) }),
    fc.record({ kind: fc.constant('answer' as const), hosts: fc.integer({ min: 0, max: 3 }), at: fc.nat(3) }),
    fc.record({ kind: fc.constant('fail' as const), at: fc.nat(3) }),
    fc.record({ kind: fc.constant('wait' as const), for: fc.constantFrom(1, 100, 999, 1_000, 5_000, 10_000, 60_000) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { asked, lookup, lists } = lookUp()
      const asks = scope('http://users')
      const open = new Map<number, number>()
      const begun: number[] = []
      let calls = 0
      for (const one of steps) {
        if (one.kind === 'wait') await advance(one.for)
        else if (one.kind === 'call') {
          const number = calls++
          const since = performance.now()
          const before = asked.length
          try {
            const waiting = lookup.ask(asks, since)
            if (waiting !== null) {
              open.set(number, since)
              const over = () => {
                expect(performance.now() - since).toBeLessThanOrEqual(10_001)
                expect(open.delete(number)).toBe(true)
              }
              waiting.then(over, () => {
                over()
                expect(lists.at(-1) ?? []).toEqual([])
              })
            }
          } catch (error) {
            expect((error as { code: string }).code).toBe('ERR_NO_HOST')
            expect(lists.at(-1) ?? []).toEqual([])
          }
          if (asked.length > before) begun.push(since)
        } else {
          const pending = asked.at(-1 - one.at)
          if (one.kind === 'fail') pending?.fail(new Error('failed'))
          else pending?.answer(Array.from({ length: one.hosts }, (_, at) => `http://h${at}`))
          await advance(0)
        }
      }
      await advance(20_000)
      expect([...open.keys()]).toEqual([])
      for (let at = 1; at < begun.length; at++) {
        expect((begun[at] as number) - (begun[at - 1] as number)).toBeGreaterThanOrEqual(100)
      }
    }),
    { numRuns: 300 },
  )
})
