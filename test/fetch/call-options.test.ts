import {
  bulkhead,
  type CallOptions,
  compose,
  createAgent,
  createFetch,
  DeadlineExceededError,
  deadline,
  InvalidRequestError,
  retry,
} from 'roundtripper'
import { gate, startServer } from 'roundtripper/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

type Server = Awaited<ReturnType<typeof startServer>>

describe.each(['h1', 'h2'] as const)('resilience in the init of fetch (%s)', (protocol) => {
  let server: Server
  let close: () => Promise<void>
  let fetch: ReturnType<typeof createFetch>
  // The same, for calls of 20 ms, one at a time.
  let bounded: ReturnType<typeof createFetch>
  const slots = bulkhead({ limit: 1 })

  beforeAll(async () => {
    server = await startServer({ protocol })
    const agent = createAgent({ connect: { ca: server.ca } })
    const api = compose(agent, retry({ backoff: 1 }))
    close = () => api.close()
    fetch = createFetch(api)
    bounded = createFetch(compose(api, deadline(20), slots))
  })

  afterAll(async () => {
    await close()
    await server.close()
  })

  it('15: marks a POST as safe to send again', async () => {
    server.script('/marked', [503, 200])
    const response = await fetch(server.url('/marked'), {
      method: 'POST',
      body: 'order',
      resilience: { idempotent: true },
    })
    await response.text()
    expect(response.status).toBe(200)
    expect(server.requests.filter(({ path }) => path === '/marked').map(({ body }) => body.toString())).toEqual([
      'order',
      'order',
    ])
  })

  it('15: leaves an unmarked POST alone', async () => {
    server.script('/unmarked', [503, 200])
    const response = await fetch(server.url('/unmarked'), { method: 'POST', body: 'order' })
    await response.text()
    expect(response.status).toBe(503)
    expect(server.count('/unmarked')).toBe(1)
  })

  it('24: gives a call a longer deadline, or none, or a shorter one', async () => {
    for (const resilience of [{ deadline: 60_000 }, { deadline: false }] as const) {
      const held = gate()
      server.script('/late', { hold: held.promise, body: 'late' })
      const late = bounded(server.url('/late'), { resilience })
      // A call within the deadline of the chain waits behind it for longer than that.
      await server.until(() => server.requests.some(({ path }) => path === '/late'))
      const behind = await bounded(server.url('/behind')).catch((error) => error)
      expect(behind).toMatchObject({ message: 'fetch failed', cause: { code: 'ERR_DEADLINE_EXCEEDED' } })
      held.open()
      expect(await (await late).text()).toBe('late')
      server.clear()
    }
    server.script('/hang', { hang: 'head' })
    const error = await bounded(server.url('/hang'), { resilience: { deadline: 5 } }).catch((failure) => failure)
    expect(error.cause).toBeInstanceOf(DeadlineExceededError)
    expect(error.cause.message).toContain('within 5 ms')
  })

  it('19: gives each attempt a time of its own', async () => {
    server.script('/slow', [{ hang: 'head' }, { body: 'fine' }])
    const resilience = { attemptTimeout: 50, deadline: false } as const
    const response = await fetch(server.url('/slow'), { resilience })
    expect(await response.text()).toBe('fine')
    expect(server.count('/slow')).toBeGreaterThan(1)
  })

  it('28: lets a critical call pass', async () => {
    const held = gate()
    server.clear()
    server.script('/held', { hold: held.promise })
    const paths = ['/held', '/sheddable', '/normal', '/critical']
    const calls = paths.map(async (path) => {
      const priority = path.slice(1) as CallOptions['priority']
      const init = path === '/held' ? {} : { priority }
      const response = await bounded(server.url(path), { resilience: { deadline: false, ...init } as CallOptions })
      await response.text()
    })
    while (slots.state()[server.origin]?.queued !== 3) await new Promise((resolve) => setImmediate(resolve))
    held.open()
    await Promise.all(calls)
    expect(server.requests.map(({ path }) => path)).toEqual(['/held', '/critical', '/normal', '/sheddable'])
  })

  it.each([
    [{ deadline: -1 }, 'resilience: deadline must be a number of milliseconds from 1 to 2147483647, or false, got -1'],
    [{ priority: 'high' }, 'resilience: priority must be one of "critical", "normal", "sheddable", got "high"'],
    [{ timeout: 5 }, 'resilience: unknown option "timeout"; known are'],
    [null, 'resilience must be an object of options, got null'],
  ])('21: refuses %o, and sends nothing', async (resilience, message) => {
    server.clear()
    const error = await fetch(server.url(), { resilience: resilience as CallOptions }).catch((failure) => failure)
    expect(error).toMatchObject({ name: 'TypeError', message: 'fetch failed' })
    expect(error.cause).toBeInstanceOf(InvalidRequestError)
    expect(error.cause.message).toContain(message)
    expect(server.count()).toBe(0)
  })

  it('is still what the type of a standard fetch promises', () => {
    const standard: typeof globalThis.fetch = fetch
    expect(standard.name).toBe('fetch')
  })
})
