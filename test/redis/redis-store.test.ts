// One limit for several processes, on a real Redis that the tests start, kill and start again.
import { compose, createAgent, isShed, type RateLimitLayer, type RateLimitOptions, rateLimit } from 'roundtripper'
import { type RedisStoreOptions, redisStore, redisStoreDefaults } from 'roundtripper/redis'
import { startServer, type TestServer } from 'roundtripper/testing'
import { request } from 'undici'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { twoProcesses } from './processes.ts'
import { clientOf, hasRedis, type RedisServer, startRedis } from './redis-server.ts'

const warningCode = 'ROUNDTRIPPER_RATE_LIMIT_STORE'

/** Collects the warnings of this process that a store is gone. */
function warnings(): string[] {
  const told: string[] = []
  const collect = (warning: Error & { code?: string }) => {
    if (warning.code === warningCode) told.push(warning.message)
  }
  process.on('warning', collect)
  onTestFinished(() => {
    process.off('warning', collect)
  })
  return told
}

// So long that a busy machine is not taken for a Redis that is gone.
const patience = 20_000

type Result = 'admitted' | 'refused' | 'lost'

describe.skipIf(!hasRedis)('a limit on Redis', () => {
  let redis: RedisServer
  let server: TestServer
  /** When each request came to the server. */
  let times: number[]

  beforeEach(async () => {
    redis = await startRedis()
    times = []
    const respond = () => {
      times.push(performance.now())
      return 200
    }
    server = await startServer({ protocol: 'h1c', respond })
    onTestFinished(() => server.close())
  })

  /** As a process of its own would have it: client, store and layer. */
  function participant(options: Partial<RateLimitOptions> = {}, store: RedisStoreOptions = {}) {
    const client = clientOf(redis)
    const settings = { limit: 10, window: 60_000, queue: 0, ...options }
    const layer = rateLimit({ ...settings, store: redisStore(client, { timeout: patience, ...store }) })
    const chain = compose(createAgent(), layer)
    onTestFinished(() => chain.destroy())
    const call = async (): Promise<Result> => {
      try {
        const { body } = await request(server.origin, { dispatcher: chain })
        await body.text()
        return 'admitted'
      } catch (error) {
        return isShed(error) ? 'refused' : 'lost'
      }
    }
    const calls = async (count: number) => {
      const results = await Promise.all(Array.from({ length: count }, call))
      // Warnings are told in a turn of their own.
      await new Promise((resolve) => setImmediate(resolve))
      return { admitted: results.filter((result) => result === 'admitted').length, results }
    }
    return { layer, calls, client }
  }

  const stateOf = (layer: RateLimitLayer) => layer.state()[server.origin]

  it('30: is shared: together they have what one has', async () => {
    const [one, other] = [participant(), participant()]
    const [first, second] = await Promise.all([one.calls(8), other.calls(8)])
    expect(first.admitted + second.admitted).toBe(10)
    expect(server.count()).toBe(10)
    expect([...first.results, ...second.results]).not.toContain('lost')
    expect((await one.calls(1)).results).toEqual(['refused'])
    // From now on known without asking Redis again.
    expect(stateOf(one.layer)?.retryAfter).toBeGreaterThan(50_000)
    expect(stateOf(one.layer)?.retryAfter).toBeLessThanOrEqual(60_000)
  })

  it('30: windows of different lengths, and prefixes, are counted apart', async () => {
    const limits = [participant(), participant({ window: 30_000 }), participant({}, { prefix: 'other' })]
    for (const { calls } of limits) expect((await calls(12)).admitted).toBe(10)
  })

  it('30: calls wait for the next window, in order, and none is lost', async () => {
    const one = participant({ limit: 5, window: 1000, queue: 100 })
    const { results } = await one.calls(12)
    expect(results).toEqual(Array(12).fill('admitted'))
    expect(stateOf(one.layer)).toMatchObject({ queued: 0, admitted: 12 })
    expect(times[5]! - times[0]!).toBeGreaterThan(500)
    expect(times[10]! - times[5]!).toBeGreaterThan(500)
  })

  it('30: two processes share one limit', async () => {
    const task = { port: redis.port, origin: server.origin, calls: 100, every: 0, limit: 60, window: 60_000, queue: 0 }
    const reports = await twoProcesses(task)
    expect(reports.map(({ lost, warnings: told }) => ({ lost, told }))).toEqual(Array(2).fill({ lost: 0, told: [] }))
    expect(reports.map(({ admitted, refused }) => admitted + refused)).toEqual([100, 100])
    expect(reports.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(60)
    expect(server.count()).toBe(60)
  })

  it('30: two processes, Redis killed and back in the middle: no call lost, one warning each', async () => {
    // Long enough for the kill, the outage, and the second after which a process looks for Redis again.
    const task = { port: redis.port, origin: server.origin, calls: 200, every: 8, limit: 30, window: 1000, queue: 1000 }
    const running = twoProcesses(task)
    await server.until(() => server.count() >= 60)
    await redis.kill()
    await server.until(() => server.count() >= 120)
    await redis.start()
    const reports = await running
    expect(reports.map(({ lost, refused, admitted }) => ({ lost, refused, admitted }))).toEqual(
      Array(2).fill({ lost: 0, refused: 0, admitted: 200 }),
    )
    expect(reports.map(({ warnings: told }) => told)).toEqual(Array(2).fill([warningCode]))
    expect(server.count()).toBe(400)
    // In the end they share again: a good part of their calls went at the rate of one, not of two.
    const last = times.slice(-100)
    const seconds = (last.at(-1)! - last[0]!) / 1000
    expect(100 / seconds).toBeLessThan(45)
  })

  it('30: while Redis is gone each process keeps the limit for itself, and shares it again when Redis is back', async () => {
    const told = warnings()
    const [one, other] = [participant(), participant()]
    expect((await one.calls(6)).admitted + (await other.calls(3)).admitted).toBe(9)
    await redis.kill()
    // What was counted is lost with Redis; each has the whole limit now.
    const [first, second] = [await one.calls(12), await other.calls(12)]
    expect([first.admitted, second.admitted]).toEqual([10, 10])
    expect([...first.results, ...second.results]).not.toContain('lost')
    expect(told).toEqual(Array(2).fill(expect.stringContaining('this process keeps the limit for itself')))
    await redis.start()
    await backTo(one)
    await backTo(other)
    // One each to find that out; eight are left.
    expect([(await one.calls(5)).admitted, (await other.calls(5)).admitted]).toEqual([5, 3])
    expect(told).toHaveLength(2)
    await redis.kill()
    await one.calls(1)
    expect(told).toHaveLength(3)
  })

  /** Calls until the count in Redis is the one that counts again: the local one has nothing left for a minute. */
  async function backTo({ calls }: ReturnType<typeof participant>): Promise<void> {
    while ((await calls(1)).admitted === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  it.each([
    ['refuse', 'refused', 'calls are refused'],
    ['admit', 'admitted', 'calls go without a limit'],
  ] as const)('30: whenDown: %s', async (whenDown, expected, words) => {
    const told = warnings()
    const one = participant({ limit: 2 }, { whenDown })
    expect((await one.calls(2)).admitted).toBe(2)
    await redis.kill()
    expect((await one.calls(5)).results).toEqual(Array(5).fill(expected))
    expect((await one.calls(5)).results).toEqual(Array(5).fill(expected))
    expect(told).toEqual([expect.stringContaining(words)])
  })

  it('30: a Redis that hangs holds calls up for no longer than the timeout, and only the first of them', async () => {
    const told = warnings()
    const one = participant({ limit: 1000 }, { timeout: 40 })
    await one.calls(1)
    redis.stop()
    expect((await one.calls(20)).admitted).toBe(20)
    expect(told).toEqual([expect.stringContaining('no answer in time')])
    // From now on nobody waits for it.
    const before = performance.now()
    for (let at = 0; at < 50; at++) await one.calls(1)
    expect(performance.now() - before).toBeLessThan(50 * 40)
    expect(told).toHaveLength(1)
    redis.goOn()
  })

  it('30: calls that wait when Redis goes go on under the limit of their process', async () => {
    const one = participant({ limit: 5, window: 1000, queue: 100 })
    await one.calls(5)
    const waiting = one.calls(8)
    await redis.kill()
    expect((await waiting).results).toEqual(Array(8).fill('admitted'))
  })

  it('30: a Redis that takes nothing (a replica, by then) is gone, and told of once', async () => {
    const told = warnings()
    const one = participant({ limit: 1000 })
    await one.calls(1)
    const { client } = one
    await client.replicaof('127.0.0.1', 1)
    expect((await one.calls(5)).admitted).toBe(5)
    // What Redis has turned down: those calls, and each time that it was looked for.
    const turnedDown = async () => Number(/READONLY:count=(\d+)/.exec(await client.info('errorstats'))?.[1] ?? 0)
    const first = await turnedDown()
    while ((await turnedDown()) < first + 2) {
      expect((await one.calls(1)).results).toEqual(['admitted'])
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(told).toEqual([expect.stringContaining('READONLY')])
    await client.replicaof('NO', 'ONE')
    const before = Number(await client.get(`roundtripper:60:${server.origin}`))
    while (Number(await client.get(`roundtripper:60:${server.origin}`)) === before) {
      await one.calls(1)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(told).toHaveLength(1)
  })

  it('30: a client that has yet to connect is waited for', async () => {
    const told = warnings()
    expect((await participant().calls(3)).admitted).toBe(3)
    expect(told).toEqual([])
  })

  it('46: a caller that gives up while Redis is asked loses nobody else’s place', async () => {
    const one = participant({ limit: 3 })
    await one.calls(1)
    const abort = new AbortController()
    const chain = compose(createAgent(), one.layer)
    onTestFinished(() => chain.destroy())
    const left = request(server.origin, { dispatcher: chain, signal: abort.signal }).catch(() => 'left')
    abort.abort()
    expect(await left).toBe('left')
    expect((await one.calls(3)).admitted).toBe(2)
    expect(stateOf(one.layer)).toMatchObject({ queued: 0 })
  })
})

describe('redisStore', () => {
  it('has defaults, and refuses what is wrong', () => {
    expect(redisStoreDefaults).toEqual({ prefix: 'roundtripper', whenDown: 'local', timeout: 500 })
    expect(redisStore({}, { timeout: undefined as never, whenDown: undefined as never })).toMatchObject({
      whenDown: 'local',
      timeout: 500,
    })
    expect(() => redisStore(undefined as never)).toThrow('client must be a client of ioredis or redis, got undefined')
    expect(() => redisStore({}, { whenDown: 'ask' as never })).toThrow(
      'whenDown must be one of local, refuse, admit, got "ask"',
    )
    expect(() => redisStore({}, { timeout: 0 })).toThrow(
      'redisStore: timeout must be a number from 1 to 2147483647, got 0',
    )
    expect(() => redisStore({}, { prefix: 5 as never })).toThrow('redisStore: prefix must be a string, got 5')
    expect(() => redisStore({}, { url: 'x' } as never)).toThrow('redisStore: unknown option "url"')
  })
})
