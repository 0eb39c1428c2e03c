import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ServerQuota } from '../../src/policies/server-quota.ts'
import { holds } from './fixtures.ts'

type Headers = Record<string, string>

const minute = 60_000

/** One that has been told this, at 1000. */
function told(status: number, headers: Headers, { unanswered = 0, maxWait = 10 * minute } = {}): ServerQuota {
  const quota = new ServerQuota()
  quota.tell(status, headers, 1000, unanswered, maxWait)
  return quota
}

/** How many may go at once. */
function drain(quota: ServerQuota, now: number): number {
  let gone = 0
  while (gone < 1000 && quota.waitFor(now, 0) === 0) {
    quota.take(now)
    gone++
  }
  return gone
}

describe('30: what a server asks for, examples of draft-ietf-httpapi-ratelimit-headers', () => {
  it('version 11, appendix B.1.4: no call for five seconds', () => {
    const headers = { 'retry-after': '5', 'ratelimit-policy': '"default";q=100;w=60', ratelimit: '"default";r=0;t=5' }
    const quota = told(429, headers)
    expect(quota.waitFor(1000, 0)).toBe(5000)
    expect(quota.waitFor(5999, 0)).toBe(1)
    expect(drain(quota, 6000)).toBe(100)
    expect(quota.waitFor(6000, 0)).toBe(minute)
  })

  it('version 11, section 7: Retry-After counts before the reset of a limit that is used up', () => {
    expect(told(429, { 'retry-after': '5', ratelimit: '"default";r=0;t=50' }).waitFor(1000, 0)).toBe(5000)
    expect(told(503, { 'retry-after': '50', ratelimit: '"default";r=0;t=5' }).waitFor(1000, 0)).toBe(50_000)
  })

  it('version 11, appendix B.2.1: 99 calls for 50 seconds, then 100 a minute', () => {
    const quota = told(200, { ratelimit: '"fixedwindow";r=99;t=50', 'ratelimit-policy': '"fixedwindow";q=100;w=60' })
    // Those that are still to come, too, are told when their turn is.
    expect([98, 99, 198, 199].map((ahead) => quota.waitFor(1000, ahead))).toEqual([0, 50_000, 50_000, 110_000])
    expect(drain(quota, 1000)).toBe(99)
    expect(drain(quota, 50_999)).toBe(0)
    expect(drain(quota, 51_000)).toBe(100)
  })

  it('version 11, section 3.2: two policies, both kept to from the first response on', () => {
    const headers = { 'ratelimit-policy': '"permin";q=50;w=60,"perhr";q=120;w=300' }
    const quota = told(200, headers)
    expect(drain(quota, 1000)).toBe(49)
    // Told again it begins nothing anew.
    quota.tell(200, headers, 2000, 0, 10 * minute)
    expect(drain(quota, 2000)).toBe(0)
    expect(drain(quota, 61_000)).toBe(50)
    // 120 in five minutes: the other one holds now.
    expect(drain(quota, 121_000)).toBe(20)
    expect(quota.waitFor(121_000, 0)).toBe(180_000)
  })

  it('version 00: Retry-After of 20 seconds, and then the 15 calls that are left until the reset', () => {
    const headers = {
      'retry-after': '20',
      'ratelimit-limit': '15, 100;w=60',
      'ratelimit-remaining': '15',
      'ratelimit-reset': '40',
    }
    const quota = told(429, headers)
    expect(drain(quota, 20_999)).toBe(0)
    expect(drain(quota, 21_000)).toBe(15)
    // After the reset nothing is known, and nothing holds calls back.
    expect(drain(quota, 40_999)).toBe(0)
    expect(drain(quota, 41_000)).toBe(1000)
  })

  it('version 00: a server that lowers what is left is followed', () => {
    const quota = told(200, { 'ratelimit-limit': '100', 'ratelimit-remaining': '60', 'ratelimit-reset': '58' })
    quota.tell(200, { 'ratelimit-limit': '100', 'ratelimit-remaining': '20', 'ratelimit-reset': '56' }, 3000, 0, minute)
    expect(drain(quota, 3000)).toBe(20)
  })
})

describe('30: what is kept of it', () => {
  it('calls that are out are taken off what is left', () => {
    const headers = { ratelimit: '"default";r=10;t=30' }
    expect(drain(told(200, headers, { unanswered: 4 }), 1000)).toBe(6)
    expect(drain(told(200, headers, { unanswered: 40 }), 1000)).toBe(0)
  })

  it('a shorter Retry-After does not end a longer one; of other statuses it is none', () => {
    const quota = told(503, { 'retry-after': '30' })
    quota.tell(429, { 'retry-after': '2' }, 2000, 0, minute)
    expect(quota.waitFor(2000, 0)).toBe(29_000)
    expect(told(200, { 'retry-after': '30' }).waitFor(1000, 0)).toBe(0)
    expect(told(429, { 'retry-after': 'soon' }).waitFor(1000, 0)).toBe(0)
  })

  it('a response without these fields leaves what is known', () => {
    const quota = told(200, { ratelimit: '"default";r=0;t=30' })
    quota.tell(200, { 'content-type': 'text/plain' }, 2000, 0, minute)
    expect(quota.waitFor(2000, 0)).toBe(29_000)
  })

  it('a limit without a time is one of its policy’s window, or none', () => {
    expect(told(200, { ratelimit: '"a";r=0', 'ratelimit-policy': '"a";q=5;w=20' }).waitFor(1000, 0)).toBe(20_000)
    expect(told(200, { ratelimit: '"a";r=0' }).waitFor(1000, 0)).toBe(0)
  })

  it('no wait is longer than the longest allowed', () => {
    const reset = { ratelimit: '"default";r=0;t=86400', 'ratelimit-policy': '"default";q=1;w=86400' }
    for (const [status, headers] of [
      [200, reset],
      [429, { 'retry-after': '999999999999' }],
    ] as const) {
      const quota = told(status, headers, { maxWait: minute })
      expect(quota.waitFor(1000, 0)).toBe(minute)
      expect(quota.waitFor(1000 + minute, 0)).toBe(0)
    }
  })

  it('never lets more go before a reset than were left, nor in a window of the policy', () => {
    const step = fc.record({ ms: fc.integer({ min: 0, max: 2000 }), calls: fc.integer({ min: 0, max: 9 }) })
    holds(
      'server quota',
      fc.property(
        fc.record({
          r: fc.nat(12),
          t: fc.integer({ min: 1, max: 9 }),
          q: fc.integer({ min: 1, max: 9 }),
          w: fc.integer({ min: 1, max: 5 }),
        }),
        fc.array(step, { maxLength: 60 }),
        ({ r, t, q, w }, history) => {
          const quota = told(200, { ratelimit: `"a";r=${r};t=${t}`, 'ratelimit-policy': `"a";q=${q};w=${w}` })
          const resetAt = 1000 + t * 1000
          const [before, after]: [number[], number[]] = [[], []]
          let now = 1000
          for (const { ms, calls } of history) {
            now += ms
            for (let call = 0; call < calls; call++) {
              const wait = quota.waitFor(now, 0)
              if (wait > 0) {
                expect(quota.waitFor(now + wait, 0)).toBe(0)
                break
              }
              quota.take(now)
              if (now < resetAt) before.push(now)
              else after.push(now)
            }
          }
          expect(before.length).toBeLessThanOrEqual(r)
          // Windows begin with a call: at most two of them touch any stretch of their length.
          for (let at = 2 * q; at < after.length; at++) {
            expect(after[at]! - after[at - 2 * q]!).toBeGreaterThanOrEqual(w * 1000)
          }
        },
      ),
    )
  })
})
