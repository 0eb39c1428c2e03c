// What toJSON() gives, restore() takes. An invalid request may have named an origin that is none, and one of them made the
// whole snapshot useless.
import { circuitBreaker } from 'roundtripper'
import { Client, type Dispatcher } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { serve } from '../dispatchers/retry-servers.ts'

/** What becomes of a request that undici has not looked at. */
function dispatch(client: Dispatcher, origin?: string): Promise<unknown> {
  return new Promise((resolve) => {
    client.dispatch(
      { ...(origin !== undefined && { origin }), path: '/', method: 'GET' },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: () => resolve(null),
        onResponseError: (_, error) => resolve(error),
      },
    )
  })
}

it('10: a snapshot comes back, whatever origins requests have named', async () => {
  const server = await serve({ protocol: 'h1c', respond: 500 })
  const options = { minimumCalls: 1 }
  const layer = circuitBreaker(options)
  const client = new Client(server.origin).compose(layer)
  onTestFinished(() => client.destroy())
  await dispatch(client)
  for (const origin of ['nowhere', 'mailto:a@b.test']) await dispatch(client, origin)
  expect(Object.keys(layer.state())).toHaveLength(3)
  const text = JSON.stringify(layer)
  expect(Object.keys(JSON.parse(text).origins)).toEqual([server.origin])

  const other = circuitBreaker(options)
  const next = new Client(server.origin).compose(other)
  onTestFinished(() => next.destroy())
  other.restore(JSON.parse(text))
  expect(await dispatch(next)).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
})

it('10: so does one of the longest open time there can be', () => {
  const longest = 2 ** 31 - 1
  const layer = circuitBreaker({
    minimumCalls: 1,
    openFor: longest,
    openForJitter: 1,
    random: () => 0.9999,
    now: () => 0,
  })
  const open = { state: 'open', forced: null, openFor: 0, probeFor: 1.9 * longest, openings: 1, consecutiveFailures: 0 }
  const snapshot = { version: 1, origins: { 'https://a.test': open } }
  layer.restore(snapshot as never)
  const again = JSON.parse(JSON.stringify(layer))
  layer.restore(again)
  expect(again.origins['https://a.test'].probeFor).toBe(1.9 * longest)
})
