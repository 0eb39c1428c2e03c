// What docs/fetch.md and docs/fetch-all.md show, run.
import { compose, createAgent, createFetch, fetchAll, installFetch, protocolOf, standard } from 'roundtripper'
import { Agent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { serve } from './servers.ts'

it('creates a fetch', async () => {
  const { server } = await serve({ protocol: 'h1c', respond: [503, { echo: true }] })
  const { origin } = server
  // #region create
  const api = compose(createAgent(), standard())
  const fetch = createFetch(api)

  const response = await fetch(`${origin}/users/1`, { method: 'PUT', body: '{"name":"Ada"}' })
  const protocol = protocolOf(response) // '2' or '1.1'
  // #endregion
  onTestFinished(() => api.destroy())
  expect(await response.json()).toMatchObject({ method: 'PUT', body: '{"name":"Ada"}' })
  expect(protocol).toBe('1.1')
})

it('installs fetch', async () => {
  const { server } = await serve({ protocol: 'h1c', respond: { echo: true } })
  const { origin } = server
  const before = globalThis.fetch
  // #region install
  const uninstall = installFetch() // the standard chain over an HTTP/2 pool
  const response = await fetch(`${origin}/users`)
  uninstall()
  // #endregion
  expect(await response.json()).toMatchObject({ path: '/users' })
  expect(globalThis.fetch).toBe(before)
})

it('tells the chain of one call', async () => {
  const { server } = await serve({ protocol: 'h1c', respond: [503, 201] })
  const { origin } = server
  const api = compose(createAgent(), standard())
  onTestFinished(() => api.destroy())
  const fetch = createFetch(api)
  const body = '{"item":7}'
  // #region call-options
  const response = await fetch(`${origin}/orders/7`, {
    method: 'POST',
    body,
    resilience: { idempotent: true, deadline: 5_000, priority: 'critical', urlTemplate: '/orders/{id}' },
  })
  // #endregion
  expect(response.status).toBe(201)
  expect(server.requests.map((request) => request.body.toString())).toEqual([body, body])
})

it('gives one call another dispatcher', async () => {
  const { server, agent } = await serve({ protocol: 'h2', respond: { echo: true } })
  const fetch = createFetch(new Agent())
  const url = server.url()
  // #region own-dispatcher
  const response = await fetch(url, { dispatcher: agent })
  // #endregion
  expect(response.status).toBe(200)
})

it('fetches all', async () => {
  const { server, agent } = await serve({
    protocol: 'h2',
    respond: { '*': { body: 'four' }, '/broken': { reset: 'before-head' } },
  })
  const fetch = createFetch(agent)
  const urls = ['/a', '/b', '/broken', '/c'].map((path) => server.url(path))
  let line = ''
  // #region fetch-all
  const sizes = new Map<string, number>()
  const failed: string[] = []
  const onProgress = ({ done, total = 0 }: { done: number; total: number | undefined }) => {
    line = `${done} of ${total}`
  }
  for await (const result of fetchAll(urls, { fetch, concurrency: 4, onProgress })) {
    if (result.status === 'rejected') failed.push(result.input)
    else sizes.set(result.input, (await result.response.text()).length)
  }
  // #endregion
  expect([...sizes.values()]).toEqual([4, 4, 4])
  expect(failed).toEqual([server.url('/broken')])
  expect(line).toBe('4 of 4')
})

it('leaves at the first answer', async () => {
  const { server, agent } = await serve({
    protocol: 'h2',
    respond: { '*': { hang: 'head' }, '/quick': { body: 'here' } },
  })
  const fetch = createFetch(agent)
  const mirrors = ['/slow', '/quick', '/slower'].map((path) => server.url(path))
  // #region first
  let first: Response | undefined
  for await (const result of fetchAll(mirrors, { fetch })) {
    if (result.status === 'rejected' || !result.response.ok) continue
    first = result.response
    break // aborts the others; this response stays readable
  }
  // #endregion
  expect(await first?.text()).toBe('here')
})
