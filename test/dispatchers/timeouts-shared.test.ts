import {
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  DeadlineExceededError,
  deadline,
  type Outcome,
  type RetryInfo,
  retry,
} from 'roundtripper'
import { gate, startBlackhole } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, serve, stopClock, turns, warmChainTo } from './retry-servers.ts'

describe.each(protocols)('the times of attempts and call, over HTTP/$version', ({ protocol }) => {
  it('19: every attempt gets the attempt timeout, and a later one may succeed', async () => {
    const server = await serve({ protocol })
    const kinds: string[] = []
    const retryOn = ({ kind }: Outcome) => {
      kinds.push(kind)
      return undefined
    }
    const chain = await warmChainTo(server, deadline(5_000), retry({ backoff: 1, retryOn }), attemptTimeout(40))
    server.script('*', [{ hang: 'head' }, { hang: 'head' }, { body: 'fine' }])
    const { advance } = stopClock()
    const answer = call(chain, server.url())
    for (const attempt of [1, 2]) {
      await server.until(() => server.count() === attempt)
      await advance(37)
      expect(kinds).toHaveLength(attempt - 1)
      await advance(4)
      expect(kinds[attempt - 1]).toBe('timeout')
      await advance(2)
    }
    expect(await answer).toEqual({ status: 200, text: 'fine' })
    expect(kinds).toEqual(['timeout', 'timeout', 'success'])
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
  })

  it('19: an attempt gets no more than what is left of the deadline', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, deadline(100), retry({ backoff: 1 }), attemptTimeout(60))
    server.script('*', { hang: 'head' })
    const { advance } = stopClock()
    let error: unknown
    const failed = errorOf(call(chain, server.url())).then((found) => {
      error = found
    })
    await server.until(() => server.count() === 1)
    await advance(60)
    await advance(2)
    await server.until(() => server.count() === 2)
    await advance(37)
    expect(error).toBeUndefined()
    await advance(2)
    await failed
    expect(error).toBeInstanceOf(DeadlineExceededError)
    expect(error).toMatchObject({ message: expect.stringContaining('2 attempts') })
    expect(server.count()).toBe(2)
  })

  it('19: a wait in a queue does not count against the attempt, and feeds no breaker', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/busy': { hold: held.promise, body: 'busy' }, '*': 200 } })
    const slots = bulkhead({ limit: 1 })
    const breaker = circuitBreaker()
    const ground = await warmChainTo(server)
    const busy = call(ground.compose(slots), server.url('/busy'))
    const chain = ground.compose(attemptTimeout(30), slots, breaker, retry({ maxAttempts: 1 }))
    await server.until(() => server.count('/busy') === 1)
    const { advance } = stopClock()
    const queued = call(chain, server.url())
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 1 })
    await advance(10_000)
    held.open()
    expect(await queued).toMatchObject({ status: 200 })
    expect((await busy).text).toBe('busy')
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 1, failures: 0 })
  })

  it("19: an attempt's clock starts when its last permit is granted", async () => {
    const held = gate()
    const server = await serve({
      protocol,
      respond: { '/busy': { hold: held.promise }, '/hang': { hang: 'head' }, '*': 200 },
    })
    const slots = bulkhead({ limit: 1 })
    const ground = await warmChainTo(server)
    const busy = call(ground.compose(slots), server.url('/busy'))
    const chain = ground.compose(attemptTimeout(30), slots)
    await server.until(() => server.count('/busy') === 1)
    const { advance } = stopClock()
    let over = false
    const failed = errorOf(call(chain, server.url('/hang'))).finally(() => {
      over = true
    })
    await advance(1_000)
    held.open()
    await busy
    await server.until(() => server.count('/hang') === 1)
    await advance(29)
    expect(over).toBe(false)
    await advance(2)
    expect(await failed).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
  })

  it('19: a wait in a queue counts against the deadline; nothing is sent, and no breaker is fed', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': 200 } })
    const slots = bulkhead({ limit: 1 })
    const breaker = circuitBreaker()
    const ground = await warmChainTo(server)
    const busy = call(ground.compose(slots), server.url('/busy'))
    const chain = ground.compose(attemptTimeout(30), slots, breaker, retry(), deadline(40))
    const { advance } = stopClock()
    const failed = errorOf(call(chain, server.url()))
    await advance(41)
    expect(await failed).toBeInstanceOf(DeadlineExceededError)
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 0 })
    held.open()
    await busy
    await turns()
    expect(server.count('/')).toBe(0)
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 0, failures: 0 })
  })

  it.each([
    ['one millisecond before', 98, 3],
    ['at', 99, 2],
    ['past', 100, 2],
  ])('19: a backoff that would end %s the deadline: %d ms, %d attempts', async (_, backoff, attempts) => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, deadline(100), retry({ backoff: [1, backoff, 1_000] }))
    server.script('*', { status: 503, body: 'busy' })
    const { advance } = stopClock()
    let over = false
    const answer = call(chain, server.url()).finally(() => {
      over = true
    })
    await server.until(() => server.count() === 1)
    await eventually(() => vi.getTimerCount() > 0)
    await turns()
    await advance(1)
    await server.until(() => server.count() === 2)
    await turns()
    expect(over).toBe(attempts === 2)
    if (attempts === 3) await advance(98)
    expect(await answer).toEqual({ status: 503, text: 'busy' })
    expect(server.count()).toBe(attempts)
  })

  it('19: an error, too, is returned at once where no attempt could follow in time', async () => {
    const server = await serve({ protocol, respond: { reset: 'before-head' } })
    const chain = chainTo(server, deadline(5_000), retry({ backoff: 5_000, maxDelay: 60_000 }))
    expect(await errorOf(call(chain, server.url()))).not.toBeInstanceOf(DeadlineExceededError)
    expect(server.count()).toBe(1)
  })

  it('19: no attempt is begun where the process stood still past the deadline', async () => {
    const server = await serve({ protocol })
    const retryOn = () => {
      // After the decision: the wait that was to take a millisecond takes ten seconds.
      queueMicrotask(() => vi.advanceTimersByTime(10_001))
      return undefined
    }
    const chain = await warmChainTo(server, deadline(10_000), retry({ backoff: 1, retryOn }))
    server.script('*', 503)
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => {
      vi.useRealTimers()
    })
    expect(await errorOf(call(chain, server.url()))).toBeInstanceOf(DeadlineExceededError)
    await turns()
    expect(server.count()).toBe(1)
  })

  it('15: a POST that timed out while its connection was being made is sent again, one that was sent is not', async () => {
    const blackhole = await startBlackhole()
    onTestFinished(() => blackhole.close())
    const server = await serve({ protocol })
    const attempts: boolean[] = []
    const retryOn = (_outcome: Outcome, { sent }: RetryInfo) => {
      attempts.push(sent)
      return undefined
    }
    const order = { method: 'POST', body: 'order' }
    const layers = [retry({ backoff: 1, maxAttempts: 2, retryOn }), attemptTimeout(30)]
    await errorOf(call(chainTo({}, layers), blackhole.url(), order))
    expect(attempts).toEqual([false, false])
    const chain = await warmChainTo(server, layers)
    server.script('*', { hang: 'head' })
    attempts.length = 0
    const { advance } = stopClock()
    const failed = errorOf(call(chain, server.url(), order))
    await server.until(() => server.count() === 1)
    await advance(31)
    await advance(2)
    expect(await failed).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    expect(attempts).toEqual([true])
    expect(server.count()).toBe(1)
  })
})
