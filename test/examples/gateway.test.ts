import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Gateway } from '../../examples/gateway/run.ts'

let gateway: Gateway

beforeEach(async () => {
  gateway = await Gateway.start(1)
})

afterEach(() => gateway.close())

async function get(path: string, headers: Record<string, string> = {}, method: 'GET' | 'POST' = 'GET') {
  const body = method === 'POST' ? 'x'.repeat(70_000) : null
  const answer = await request(`${gateway.url}${path}`, { headers, method, body })
  return {
    status: answer.statusCode,
    json: (await answer.body.json()) as { host?: string; requestId?: string; timeLeft?: string },
  }
}

describe('the gateway', () => {
  it('sends each path to its service, with the id of the request', async () => {
    for (const service of ['orders', 'users', 'catalog']) {
      const { status, json } = await get(`/${service}/7`, { 'x-request-id': `id-${service}` })
      expect(status).toBe(200)
      expect(json).toMatchObject({ path: `/${service}/7`, requestId: `id-${service}` })
      expect(json.host).toMatch(new RegExp(`^${service}-`))
    }
    expect((await get('/orders/7')).json.requestId).toMatch(/^[0-9a-f-]{36}$/)
    expect((await get('/users/7', {}, 'POST')).status).toBe(200)
  })

  it('counts the time down, and lets no client choose a tenant', async () => {
    const { json } = await get('/orders/7', { 'x-request-timeout-ms': '60000', 'x-tenant-id': 'evil', baggage: 'a=b' })
    expect(Number(json.timeLeft)).toBeGreaterThan(0)
    expect(Number(json.timeLeft)).toBeLessThanOrEqual(2_000)
    expect(json).not.toHaveProperty('tenant')
    expect(json).not.toHaveProperty('baggage')
  })

  it('answers 404 where there is no route, 503 where all hosts of a service fail', async () => {
    expect((await get('/carts/1')).status).toBe(404)
    for (const host of gateway.services.orders) host.mood = 'errors'
    expect((await get('/orders/1', {}, 'POST')).status).toBe(503)
  })

  it('loses no call to a bad host, which is ejected', async () => {
    const [, , bad] = gateway.services.orders
    bad.mood = 'errors'
    for (let call = 0; call < 20; call++) expect((await get(`/orders/${call}`)).status).toBe(200)
    expect(bad.requests).toBeGreaterThan(0)
    expect(gateway.parts.orders.state()[bad.origin]).toMatchObject({ failures: bad.requests })
    const row = gateway.table.lines().find((line) => line.startsWith('orders-3'))
    expect(row).toMatch(new RegExp(`^orders-3 +${bad.requests} +\\d+ % +${bad.requests} `))
  })

  it('gives the canary its share, and whoever asks for it', async () => {
    const [stable, next] = gateway.services.catalog
    for (let call = 0; call < 100; call++) await get(`/catalog/${call}`)
    expect(stable.requests + next.requests).toBe(100)
    expect(next.requests).toBeGreaterThanOrEqual(2)
    expect(next.requests).toBeLessThanOrEqual(20)
    for (let call = 0; call < 3; call++) {
      expect((await get('/catalog/1', { 'x-canary': 'next' })).json.host).toBe('catalog-v2')
    }
  })

  it('weighs hosts: three of four calls to the big one', async () => {
    for (let call = 0; call < 40; call++) await get(`/users/${call}`)
    expect(gateway.services.users.map(({ requests }) => requests)).toEqual([30, 10])
  })
})
