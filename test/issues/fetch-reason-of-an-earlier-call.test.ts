// A call that is aborted for the error of an earlier one rejects with that very error. It was given another stack, and where
// it was frozen the call rejected with something else.
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { serve } from '../fetch/servers.ts'

it.each([
  ['', (error: Error) => error],
  [', frozen', (error: Error) => Object.freeze(error)],
])('the reason of an abort stays as it is%s', async (_how, prepare) => {
  const { server, agent } = await serve({
    protocol: 'h1',
    respond: { '/hang': { hang: 'head' }, '*': { refuse: true } },
  })
  const fetch = createFetch(agent)
  const earlier = await fetch(server.url()).then(
    () => expect.unreachable(),
    (error: Error) => error,
  )
  const reason = prepare(earlier)
  const { stack } = reason
  const controller = new AbortController()
  const calling = fetch(server.url('/hang'), { signal: controller.signal })
  controller.abort(reason)

  await expect(calling).rejects.toBe(reason)
  expect(reason).toMatchObject({ message: 'fetch failed', stack })
})
