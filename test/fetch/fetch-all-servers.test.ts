import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { type FetchAllResult, fetchAll } from '../../src/fetch/fetch-all.ts'
import { type Gate, gate } from '../../src/testing/index.ts'
import { serve } from './servers.ts'

async function collect<Result>(results: AsyncIterable<Result>): Promise<Result[]> {
  const all: Result[] = []
  for await (const result of results) all.push(result)
  return all
}

function summary(result: FetchAllResult): unknown[] {
  return [result.index, result.status]
}

describe.each(['h1', 'h2'] as const)('fetchAll over %s', (protocol) => {
  it('fetches every kind of input, and tells failures as results', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': { echo: true }, '/reset': { reset: 'before-head' } },
    })
    const inputs = [
      server.url('/string'),
      new URL(server.url('/url')),
      new Request(server.url('/request'), { method: 'PUT', body: 'put' }),
      [server.url('/pair'), { method: 'POST', body: 'post' }],
      server.url('/reset'),
      'not a URL',
    ] as const
    const results = await collect(fetchAll(inputs, { fetch: createFetch(agent), concurrency: 3 }))

    results.sort((a, b) => a.index - b.index)
    expect(results.map(summary)).toEqual([
      [0, 'fulfilled'],
      [1, 'fulfilled'],
      [2, 'fulfilled'],
      [3, 'fulfilled'],
      [4, 'rejected'],
      [5, 'rejected'],
    ])
    expect(results.map(({ input }) => input)).toEqual(inputs)
    const echoes = await Promise.all(
      results.map(async (result) => (result.status === 'fulfilled' ? result.response.json() : null)),
    )
    expect(echoes.slice(0, 4)).toMatchObject([
      { path: '/string', method: 'GET' },
      { path: '/url' },
      { path: '/request', method: 'PUT', body: 'put' },
      { path: '/pair', method: 'POST', body: 'post' },
    ])
  })

  it('never has more calls at the server than it may', async () => {
    let atOnce = 0
    let most = 0
    const { server, agent } = await serve({ protocol })
    const waves: Gate[] = Array.from({ length: 4 }, gate)
    server.script('*', async ({ number }) => {
      most = Math.max(most, ++atOnce)
      // Three at once, and each wave of three is let go when it is complete.
      const wave = waves[Math.floor((number - 1) / 3)]
      if (number % 3 === 0) wave?.open()
      await wave?.promise
      atOnce--
      return 200
    })
    const inputs = Array.from({ length: 12 }, (_, index) => server.url(`/${index}`))
    const results = await collect(fetchAll(inputs, { fetch: createFetch(agent), concurrency: 3 }))
    expect(results.map(({ status }) => status)).toEqual(Array(12).fill('fulfilled'))
    expect(most).toBe(3)
  })

  it('aborts what is under way when the loop is left, but not the response in hand', async () => {
    const hold = gate()
    const respond = { '*': { body: ['head', hold.promise, ' and tail'] }, '/hang': { hang: 'head' } } as const
    const { server, agent } = await serve({ protocol, respond })
    const inputs = [server.url('/first'), server.url('/hang'), server.url('/hang')]
    let kept: Response | undefined
    for await (const result of fetchAll(inputs, { fetch: createFetch(agent) })) {
      expect(result.index).toBe(0)
      await server.until(() => server.count('/hang') === 2)
      if (result.status === 'fulfilled') kept = result.response
      break
    }
    const ends = await Promise.all(server.requests.filter(({ path }) => path === '/hang').map(({ closed }) => closed))
    expect(ends).toMatchObject([{ how: 'aborted' }, { how: 'aborted' }])
    hold.open()
    expect(await kept?.text()).toBe('head and tail')
  })

  it('aborts with the reason of its signal, also the body in hand', async () => {
    const respond = { '*': { hang: 'body' }, '/hang': { hang: 'head' } } as const
    const { server, agent } = await serve({ protocol, respond })
    const controller = new AbortController()
    const reason = new Error('enough')
    const inputs = [server.url('/first'), server.url('/hang'), server.url('/never')]
    const seen: unknown[] = []
    const options = { fetch: createFetch(agent), concurrency: 1, signal: controller.signal }
    for await (const result of fetchAll(inputs, options)) {
      seen.push(summary(result))
      if (result.status === 'rejected') {
        expect(result.error).toBe(reason)
        continue
      }
      await server.until(() => server.count('/hang') === 1)
      const body = result.response.text()
      controller.abort(reason)
      await expect(body).rejects.toBe(reason)
    }
    expect(seen).toEqual([
      [0, 'fulfilled'],
      [1, 'rejected'],
    ])
    expect(server.count('/never')).toBe(0)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  it('keeps what a Request says where it adds its signal', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const request = new Request(server.url(), { referrer: 'https://example.com/from', referrerPolicy: 'unsafe-url' })
    const [result] = await collect(fetchAll([request], { fetch: createFetch(agent) }))
    const echo = result?.status === 'fulfilled' ? await result.response.json() : result
    expect(echo).toMatchObject({ headers: { referer: 'https://example.com/from' } })
  })
})
