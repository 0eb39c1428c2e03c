// RFC 9651 has dates and strings for display among the values of a parameter. A server that sent one beside the numbers,
// as an extension of its own, was not heard at all. And an update of maxServerWait did not end a wait for what had been told.
import { expect, it } from 'vitest'
import { readServerLimits } from '../../src/policies/rate-limit-fields.ts'
import { ServerQuota } from '../../src/policies/server-quota.ts'

it.each([
  '@1659578233',
  '@-62135596800',
  '%"This is intended for display to %c3%bcsers."',
  '?0',
  ':cHVibGlj:',
  'a/b:c',
  '-1.5',
])('30: a parameter of the server’s own, of %s, is passed over', (value) => {
  const ratelimit = `"default";x-own=${value};r=0;t=30`
  expect(readServerLimits({ ratelimit }, 0)).toMatchObject([{ name: 'default', remaining: 0, reset: 30_000 }])
})

it('30: what a server has asked for is bounded by an update', () => {
  const quota = new ServerQuota()
  const headers = { 'retry-after': '50', ratelimit: '"a";r=3;t=50', 'ratelimit-policy': '"a";q=2;w=50' }
  quota.tell(503, headers, 0, 0, 60_000)
  quota.bound(1000, 5000)
  expect([quota.waitFor(1000, 0), quota.waitFor(6000, 0), quota.available(6000)]).toEqual([5000, 0, 2])
  // Windows of the policy, too.
  quota.take(6000)
  quota.take(6000)
  expect(quota.waitFor(6000, 0)).toBe(5000)
})
