// What docs/adaptive-limit.md shows, run.
import { adaptiveLimit, ConcurrencyLimitedError, compose, createAgent, retry } from 'roundtripper'
import { gate, startServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it('finds its limit, and can be read and changed', async () => {
  const held = gate()
  const server = await startServer({ protocol: 'h1c', respond: { '*': { hold: held.promise, body: 'here' } } })
  onTestFinished(() => server.close())
  const url = server.url('/')
  // #region adaptive-limit
  const limit = adaptiveLimit({ initialLimit: 2, maxLimit: 200 })
  const api = compose(createAgent(), retry(), limit)
  const calls = [1, 2, 3].map(() => request(url, { dispatcher: api }))

  const refused = await calls[2]?.catch((error) => error) // a ConcurrencyLimitedError: the server can take no more
  const seen = limit.state() // { 'https://api.example.com': { limit: 2, inUse: 2, rtt: 0, ... } }
  limit.update({ minLimit: 10, initialLimit: 10 }) // holds from the next call on
  // #endregion
  onTestFinished(() => api.destroy())
  expect(refused).toBeInstanceOf(ConcurrencyLimitedError)
  expect(Object.values(seen)).toEqual([{ limit: 2, inUse: 2, rtt: 0, baseline: 0, refused: 1, shadowRefused: 0 }])
  expect(limit.state()[server.origin]?.limit).toBe(10)
  held.open()
  const bodies = await Promise.all(calls.slice(0, 2).map(async (call) => (await call).body.text()))
  expect(bodies).toEqual(['here', 'here'])
})
