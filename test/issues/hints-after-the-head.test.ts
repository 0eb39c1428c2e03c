// undici's retry() goes on with a body that broke by a second request, and passes on the early hints that come with it:
// a 103 after the head of the first.
import { bodyTimeout, compose, createAgent } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { type Dispatcher, interceptors } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it('20, 45: nothing of a further attempt of undici comes after the head', async () => {
  const early = [{ status: 103, headers: { link: '</a.css>; rel=preload' } }]
  const server = await startServer({
    protocol: 'h1c',
    respond: [
      { body: 'abcd', cut: true },
      { early, body: 'abcd' },
    ],
  })
  const again = interceptors.retry({ maxRetries: 1, minTimeout: 1, timeoutFactor: 1 })
  const chain = compose(createAgent(), bodyTimeout(5_000), again)
  onTestFinished(async () => {
    await chain.destroy()
    await server.close()
  })
  const statuses: number[] = []
  await new Promise<void>((resolve) => {
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => {},
      onResponseStart: (_, status) => {
        statuses.push(status)
      },
      onResponseData: () => {},
      onResponseEnd: () => resolve(),
      onResponseError: () => resolve(),
    }
    chain.dispatch({ origin: server.origin, path: '/', method: 'GET' }, handler)
  })
  expect(server.count()).toBe(2)
  expect(statuses).toEqual([200])
})
