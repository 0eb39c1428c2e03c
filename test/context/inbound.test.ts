// Requests that come in, on real servers: each is served in a context of its own.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import express from 'express'
import fastify from 'fastify'
import { contextHook, currentContext, runWithContext, withContext } from 'roundtripper'
import { Agent, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const trust = ['requestId', 'trace', 'deadline', 'tenant'] as const

interface Served {
  readonly id: string
  readonly tenant?: string
  readonly text?: string
  readonly left?: number
}

// What a handler finds after it has waited for something.
async function seen(text?: string): Promise<string> {
  await turn()
  const context = currentContext()
  const left = context?.remaining === Number.POSITIVE_INFINITY ? undefined : context?.remaining
  return JSON.stringify({ id: context?.requestId, tenant: context?.tenant, text, left })
}

async function listening(server: Server): Promise<string> {
  // A server that is started in a context must not give it to the requests it serves.
  await runWithContext(
    { requestId: 'who-started-it', tenant: 'nobody' },
    () => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function readAll(body: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of body) text += chunk
  return text
}

async function onHttp(listener: (req: IncomingMessage, res: ServerResponse) => void): Promise<string> {
  const server = createServer(listener)
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())))
  return listening(server)
}

/** Starts a server, and gives the function that calls it. */
const grounds: Readonly<Record<string, () => Promise<{ origin: string; dispatcher: Agent }>>> = {
  'node:http': async () => {
    const origin = await onHttp(
      withContext(
        async (req, res) => {
          res.end(await seen(await readAll(req)))
        },
        { trust },
      ),
    )
    return { origin, dispatcher: new Agent({ connections: 2 }) }
  },
  'node:http2': async () => {
    const server = createHttp2Server(
      withContext(
        async (req: Http2ServerRequest, res: Http2ServerResponse) => {
          res.end(await seen(await readAll(req)))
        },
        { trust },
      ),
    )
    onTestFinished(() => new Promise((resolve) => server.close(() => resolve())))
    return { origin: await listening(server), dispatcher: new Agent({ allowH2: true, useH2c: true } as object) }
  },
  'Fastify 5': async () => {
    const app = fastify()
    app.addHook('onRequest', contextHook({ trust }))
    app.get('/', () => seen(''))
    app.post('/', ({ body }) => seen((body as { text: string }).text))
    onTestFinished(() => app.close())
    await app.ready()
    return { origin: await listening(app.server), dispatcher: new Agent({ connections: 2 }) }
  },
  'Express 5': async () => {
    const app = express()
    app.use(contextHook({ trust }))
    app.use(express.json())
    app.get('/', async (_req, res) => {
      res.send(await seen(''))
    })
    app.post('/', async (req, res) => {
      res.send(await seen(req.body.text))
    })
    return { origin: await onHttp(app), dispatcher: new Agent({ connections: 2 }) }
  },
}

describe.each(Object.keys(grounds))('%s', (name) => {
  it('serves interleaved requests over few connections, each in its own context', async () => {
    const { origin, dispatcher } = await grounds[name]!()
    onTestFinished(() => dispatcher.destroy())
    const call = async (number: number): Promise<[string, string | undefined, string | undefined]> => {
      const headers: Record<string, string> = { 'x-request-id': `r-${number}` }
      if (number % 3 === 0) headers['x-tenant-id'] = `t-${number}`
      const isPost = number % 2 === 1
      if (isPost) headers['content-type'] = 'application/json'
      const text = `text ${number} ${'x'.repeat(number % 4 === 1 ? 90_000 : 0)}`
      const body = isPost ? JSON.stringify({ text }) : null
      const answer = await request(origin, { dispatcher, method: isPost ? 'POST' : 'GET', headers, body })
      const served = (await answer.body.json()) as Served
      if (isPost) expect(served.text).toContain(`text ${number} `)
      return [served.id, served.tenant, headers['x-tenant-id']]
    }
    const answers = await Promise.all(Array.from({ length: 60 }, (_, number) => call(number)))
    for (const [number, [id, tenant, given]] of answers.entries()) {
      expect(id).toBe(`r-${number}`)
      expect(tenant).toBe(given)
    }
  })

  it('makes a request id, takes a deadline, and leaves garbage out', async () => {
    const { origin, dispatcher } = await grounds[name]!()
    onTestFinished(() => dispatcher.destroy())
    const answer = async (headers: Record<string, string>) =>
      (await (await request(origin, { dispatcher, headers })).body.json()) as Served
    const made = await answer({ 'x-tenant-id': 'not valid' })
    expect(made.id).toMatch(/^[0-9a-f-]{36}$/)
    expect([made.tenant, made.left]).toEqual([undefined, undefined])
    const timed = await answer({ 'x-request-timeout-ms': '60000', 'x-request-id': 'a,b' })
    expect(timed.id).toMatch(/^[0-9a-f-]{36}$/)
    expect(timed.left).toBeGreaterThan(50_000)
    expect(timed.left).toBeLessThanOrEqual(60_000)
  })
})

it('withContext keeps this, and gives back what the listener returns', () => {
  const listener = withContext(function (this: string, _req: { headers: object }, a: number) {
    return `${this} ${a} ${currentContext()?.requestId}`
  } as (req: { headers: Record<string, string> }, a: number) => string)
  expect(listener.call('it', { headers: { 'x-request-id': 'r' } }, 1)).toBe('it 1 r')
})

it.each([
  [() => withContext(null as never), 'withContext: listener must be a function, got null'],
  [
    () => withContext(() => {}, { trusted: [] } as object),
    'withContext: unknown option "trusted"; known are trust, names',
  ],
  [() => contextHook({ trust: ['all'] as never }), 'contextHook: trust: unknown field "all"'],
])('wrong options are refused, %#', (make, message) => {
  expect(make).toThrow(message)
})
