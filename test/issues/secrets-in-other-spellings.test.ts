// Of a token's name one spelling was known: `access_token` stayed out of logs and spans, `accessToken` and `authorization` did
// not.
import { type CallRecord, compose, createAgent, logging } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it('41: a secret in a query is written down under no spelling of its name', async () => {
  const server = await startServer({ respond: 200 })
  const agent = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  const urls: string[] = []
  const note = (record: object) => urls.push((record as CallRecord).url)
  const chain = compose(agent, logging({ logger: { debug: () => {}, info: note, warn: note } }))
  const names = [
    'accessToken',
    'access-token',
    'X-Api-Key',
    'apiKey',
    'authorization',
    'auth_token',
    'jwt',
    'sessionId',
  ]
  const query = Object.fromEntries(names.map((name) => [name, 'hush']))
  for (const init of [{ path: `/?${new URLSearchParams(query)}` }, { path: '/', query }]) {
    const { body } = await chain.request({ origin: server.origin, method: 'GET', ...init })
    await body.dump()
  }
  const { body } = await request(server.url('/?author=me&keys=3&codec=x'), { dispatcher: chain })
  await body.dump()
  expect(urls).toEqual([
    server.url(`/?${names.map((name) => `${name}=REDACTED`).join('&')}`),
    server.url(`/?${names.map((name) => `${name}=REDACTED`).join('&')}`),
    server.url('/?author=me&keys=3&codec=x'),
  ])
})
