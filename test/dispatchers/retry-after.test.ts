import { deadline, type Outcome, type RetryOptions, retry } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { call, callByFetch, chainTo, protocols, serve, turns } from './retry-servers.ts'

// Were it taken, no test would end in time.
const never = { backoff: 1e6, maxDelay: 1e6 } satisfies RetryOptions
const date = Date.UTC(2030, 0, 1, 12, 0, 0)
const dates = [
  ['the format of today', 'Tue, 01 Jan 2030 12:00:00 GMT'],
  ['the format of RFC 850', 'Tuesday, 01-Jan-30 12:00:00 GMT'],
  ['the format of asctime()', 'Tue Jan  1 12:00:00 2030'],
] as const

afterEach(() => {
  vi.useRealTimers()
})

describe.each(protocols)('Retry-After over HTTP/$version', ({ protocol }) => {
  it.each([429, 503])('11: a %d with seconds is tried again after them, and not before', async (status) => {
    const server = await serve({ protocol })
    const decided = gate()
    const retryOn = (outcome: Outcome) => {
      if (outcome.kind !== 'success') decided.open()
      return undefined
    }
    const chain = chainTo(server, retry({ retryOn }))
    // The connection is made in real time, the wait is not.
    await call(chain, server.url())
    server.script('*', [{ status, retryAfter: 2 }, { body: 'fine' }]).clear()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const answer = call(chain, server.url())
    await decided.promise
    await vi.advanceTimersByTimeAsync(1_999)
    await turns()
    expect(server.count()).toBe(1)
    await vi.advanceTimersByTimeAsync(2)
    vi.useRealTimers()
    expect(await answer).toEqual({ status: 200, text: 'fine' })
    expect(server.count()).toBe(2)
  })

  it.each(dates)('11: an HTTP date in %s is waited for, to the millisecond', async (_, retryAfter) => {
    let answeredAt = 0
    const server = await serve({
      protocol,
      respond: [
        () => {
          answeredAt = performance.now()
          return { status: 503, retryAfter }
        },
        { body: 'fine' },
      ],
    })
    const chain = chainTo(server, retry({ ...never, now: () => date - 30 }))
    expect(await call(chain, server.url())).toEqual({ status: 200, text: 'fine' })
    expect(server.requests[1]?.startedAt).toBeGreaterThanOrEqual(answeredAt + 30)
  })

  it.each([
    ['0', '0'],
    ['a date that is past', 'Tue, 01 Jan 2030 11:59:59 GMT'],
    ['a date that is now', 'Tue, 01 Jan 2030 12:00:00 GMT'],
  ])('11: %s is tried again at once', async (_, retryAfter) => {
    const server = await serve({ protocol, respond: [{ status: 503, retryAfter }, { body: 'fine' }] })
    const chain = chainTo(server, retry({ ...never, now: () => date }))
    expect(await call(chain, server.url())).toEqual({ status: 200, text: 'fine' })
  })

  it.each([
    'soon',
    '-1',
    '1.5',
    '1s',
    '0x1',
    '1 2',
    '',
    ' ',
    'Tue, 01 Jan 2030',
    'Foo, 31 Feb 2030 12:00:00 GMT',
    '1'.repeat(80),
  ])('11: %j is no time: the backoff holds', async (retryAfter) => {
    const server = await serve({ protocol, respond: [{ status: 503, headers: { 'retry-after': retryAfter } }, 200] })
    const delays: number[] = []
    const backoff = (nth: number) => {
      delays.push(nth)
      return 1
    }
    const chain = chainTo(server, retry({ backoff }))
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect(delays).toEqual([1])
  })

  it('11: with respectRetryAfter off the backoff holds', async () => {
    const server = await serve({ protocol, respond: [{ status: 503, retryAfter: 100 }, 200] })
    const chain = chainTo(server, retry({ backoff: 1, respectRetryAfter: false }))
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
  })

  const clients = [
    ['request', call],
    ['fetch', callByFetch],
  ] as const

  describe.each(clients)('through %s', (_client, by) => {
    it('12: one beyond the longest wait returns the response at once, body readable, and nothing is sent early', async () => {
      const body = 'come back later'
      const server = await serve({ protocol, respond: { status: 503, retryAfter: 6, body } })
      const chain = chainTo(server, retry({ maxDelay: 5_999 }))
      expect(await by(chain, server.url())).toEqual({ status: 503, text: body })
      expect(server.count()).toBe(1)
    })

    it('12: one beyond the deadline returns the response at once, body readable, and nothing is sent early', async () => {
      const body = 'come back later'
      const server = await serve({ protocol, respond: { status: 429, retryAfter: 4, body } })
      const chain = chainTo(server, deadline(3_999), retry())
      expect(await by(chain, server.url())).toEqual({ status: 429, text: body })
      expect(server.count()).toBe(1)
    })
  })

  it('12: a date beyond the longest wait returns the response at once', async () => {
    const server = await serve({ protocol, respond: { status: 503, retryAfter: dates[0][1] } })
    const chain = chainTo(server, retry({ maxDelay: 999, now: () => date - 1_000 }))
    expect(await call(chain, server.url())).toMatchObject({ status: 503 })
    expect(server.count()).toBe(1)
  })

  it('12: only the attempt that carries it counts', async () => {
    const server = await serve({ protocol, respond: [503, { status: 503, retryAfter: 3_600, body: 'an hour' }] })
    const chain = chainTo(server, retry({ backoff: 1 }))
    expect(await call(chain, server.url())).toEqual({ status: 503, text: 'an hour' })
    expect(server.count()).toBe(2)
  })
})
