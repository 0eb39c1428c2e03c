// What the page on contexts shows, run.
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { pino } from 'pino'
import {
  compose,
  contextFields,
  contextHeaders,
  contextHook,
  contextOf,
  createAgent,
  createFetch,
  currentContext,
  logging,
  runWithContext,
  standard,
  withContext,
} from 'roundtripper'
import { devCertificate } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { destroyed, serve } from './support.ts'

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const received = { 'x-request-id': 'r-7', 'x-tenant-id': 'acme', 'x-request-timeout-ms': '2000' }

it('carries the context of a request of node:http along', async () => {
  const orders = await serve({ body: 'three' })
  const ordersOrigin = orders.origin
  // #region http
  const api = compose(createAgent(), contextHeaders({ origins: [ordersOrigin] }), standard())
  const fetch = createFetch(api)

  const server = createServer(
    withContext(async (_req, res) => {
      const answer = await fetch(`${ordersOrigin}/users/7/orders`) // with x-request-id, traceparent, the time that is left
      res.end(await answer.text())
    }),
  )
  // #endregion
  destroyed(api)
  const { body } = await request(`http://${await listening(server)}`, { headers: received })
  expect(await body.text()).toBe('three')
  const { headers } = orders.requests[0]!
  expect(headers).toMatchObject({ 'x-request-id': 'r-7' })
  expect(Number(headers['x-request-timeout-ms'])).toBeLessThanOrEqual(2000)
  // A client does not choose its tenant.
  expect(headers).not.toHaveProperty('x-tenant-id')
})

it('serves node:http2', async () => {
  const certificate = await devCertificate()
  const trusting = { trust: ['requestId', 'trace', 'deadline', 'tenant', 'priority', 'baggage'] } as const
  // #region http2
  const server = createSecureServer(
    { ...certificate, allowHTTP1: true },
    withContext((_req, res) => void res.end(currentContext()?.tenant), trusting),
  )
  // #endregion
  const agent = destroyed(createAgent({ connect: { ca: certificate.ca } }))
  const { body } = await request(`https://${await listening(server)}`, { dispatcher: agent, headers: received })
  expect(await body.text()).toBe('acme')
  await agent.close()
})

it('serves Fastify', async () => {
  // #region fastify
  const app = fastify()
  app.addHook('onRequest', contextHook())
  app.get('/', async () => currentContext()?.requestId)
  // #endregion
  onTestFinished(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { body } = await request(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, {
    headers: received,
  })
  expect(await body.text()).toBe('r-7')
})

it('serves Express', async () => {
  // #region express
  const app = express()
  app.use(contextHook())
  app.get('/', async (_req, res) => {
    res.send(currentContext()?.requestId)
  })
  // #endregion
  const { body } = await request(`http://${await listening(createServer(app))}`, { headers: received })
  expect(await body.text()).toBe('r-7')
})

it('runs a job of its own', async () => {
  const seen: unknown[] = []
  const cleanUp = async () => {
    const { requestId, tenant, priority } = currentContext()!
    seen.push([typeof requestId, tenant, priority])
  }
  // #region job
  await runWithContext({ tenant: 'acme', priority: 'sheddable', deadline: 60_000 }, async () => {
    // What one within another does not give is that one's; its deadline can only be the shorter one.
    await runWithContext({ deadline: 5_000 }, cleanUp)
  })
  // #endregion
  expect(seen).toEqual([['string', 'acme', 'sheddable']])
})

it('takes the context of a message', async () => {
  const message = { headers: { 'x-request-id': 'r-7', 'x-tenant-id': 'acme' } }
  const handle = async (_message: unknown) => currentContext()?.tenant
  // #region message
  const context = contextOf(message.headers, { trust: ['requestId', 'trace', 'tenant'] }) // from a queue of our own
  const handled = runWithContext(context, handle, message)
  // #endregion
  expect(await handled).toBe('acme')
})

it('names the request in every record', async () => {
  const { origin } = await serve({ body: 'Ada' })
  const lines: string[] = []
  const stream = { write: (line: string) => lines.push(line) }
  // #region logging
  const logger = pino({ mixin: contextFields }, stream) // requestId and tenant in all that the program logs
  const api = compose(createAgent(), logging({ logger }), contextHeaders({ origins: [origin] }), standard())
  // #endregion
  destroyed(api)
  await runWithContext({ requestId: 'r-7' }, async () => {
    logger.info('begins')
    await (await request(origin, { dispatcher: api })).body.text()
  })
  expect(lines.map((line) => JSON.parse(line).requestId)).toEqual(['r-7', 'r-7'])
  expect(lines[1]?.match(/requestId/g)?.length).toBeGreaterThan(0)
})

it('sends it under other names', async () => {
  const server = await serve({ body: 'fine' })
  const { origin } = server
  // #region names
  const names = { deadline: 'grpc-timeout', tenant: 'x-org' }
  const toOurs = contextHeaders({ origins: ['https://*.shop.internal', origin], names })
  const toPartner = contextHeaders({ origins: ['https://api.partner.example'], fields: ['requestId'] })
  const api = compose(createAgent(), toOurs, toPartner, standard())
  // #endregion
  destroyed(api)
  const fields = { tenant: 'acme', deadline: 2000 }
  await runWithContext(fields, async () => (await request(origin, { dispatcher: api })).body.text())
  expect(server.requests[0]?.headers).toMatchObject({ 'x-org': 'acme', 'grpc-timeout': expect.stringMatching(/m$/) })
})
