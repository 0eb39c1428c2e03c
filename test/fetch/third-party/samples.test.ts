// What docs/fetch.md shows of other libraries, run.
import { createConnectTransport } from '@connectrpc/connect-web'
import ky from 'ky'
import { HttpResponse, http } from 'msw'
import { setupServer } from 'msw/node'
import OpenAI from 'openai'
import { compose, createAgent, createFetch, installFetch, standard } from 'roundtripper'
import { MockAgent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { startServer } from '../../../src/testing/index.ts'

it('gives a library a fetch', async () => {
  const server = await startServer({
    protocol: 'h1c',
    respond: { headers: { 'content-type': 'application/json' }, body: '{"id":"file-1"}' },
  })
  onTestFinished(() => server.close())
  const { origin } = server
  const baseURL = server.url('/v1')
  const apiKey = 'key'
  const file = new File(['content'], 'data.jsonl')
  // #region libraries
  const api = compose(createAgent(), standard())
  const fetch = createFetch(api)

  const users = ky.create({ fetch, retry: 0 }) // one retry is enough
  const transport = createConnectTransport({ baseUrl: origin, fetch })
  const openai = new OpenAI({ apiKey, baseURL, maxRetries: 0, fetch })

  const user = await users.get(`${origin}/users/1`).json()
  const { id } = await openai.files.create({ file, purpose: 'batch' })
  // #endregion
  onTestFinished(() => api.destroy())
  expect(transport).toHaveProperty('unary')
  expect([user, id]).toEqual([{ id: 'file-1' }, 'file-1'])
  expect(server.requests[1]?.body.toString()).toContain('content')
})

it('is tested with MockAgent', async () => {
  // #region mock-agent
  const mock = new MockAgent()
  mock.disableNetConnect()
  mock.get('https://api.example.com').intercept({ path: '/users', method: 'POST', body: '{"name":"Ada"}' }).reply(201)

  const uninstall = installFetch(compose(mock, standard({ retry: false })))
  const response = await fetch('https://api.example.com/users', { method: 'POST', body: '{"name":"Ada"}' })
  uninstall()
  // #endregion
  expect(response.status).toBe(201)
})

it('is tested with MSW', async () => {
  // #region msw
  const agent = createAgent({ allowH2: false }) // MSW speaks HTTP/1.1 only
  const uninstall = installFetch(compose(agent, standard()))
  const msw = setupServer(http.get('https://api.example.com/users', () => HttpResponse.json(['Ada'])))
  msw.listen() // after the install

  const users = await (await fetch('https://api.example.com/users')).json()

  msw.close() // before the undo
  uninstall()
  // #endregion
  await agent.destroy()
  expect(users).toEqual(['Ada'])
})
