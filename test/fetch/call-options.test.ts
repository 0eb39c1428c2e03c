import { compose, createAgent, createFetch, retry } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

type Server = Awaited<ReturnType<typeof startServer>>

describe.each(['h1', 'h2'] as const)('resilience in the init of fetch (%s)', (protocol) => {
  let server: Server
  let close: () => Promise<void>
  let fetch: ReturnType<typeof createFetch>

  beforeAll(async () => {
    server = await startServer({ protocol })
    const api = compose(createAgent({ connect: { ca: server.ca } }), retry({ backoff: 1 }))
    close = () => api.close()
    fetch = createFetch(api)
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

  it('is still what the type of a standard fetch promises', () => {
    const standard: typeof globalThis.fetch = fetch
    expect(standard.name).toBe('fetch')
  })
})
