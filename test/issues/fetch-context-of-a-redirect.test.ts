// A redirect whose body stood still was followed by the timer that left it, in no call's async context: on a dispatcher
// without a layer of the kit, what looks for its call in an AsyncLocalStorage found none.
import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

const caller = new AsyncLocalStorage<string>()

it.each(protocols)('every hop is dispatched in the context of its call over HTTP/$version', async ({ protocol }) => {
  const moved = { status: 302, headers: { location: '/there' } }
  const respond = { '/': { ...moved, body: 'x', hang: 'body' }, '/quick': moved, '*': 200 } as const
  const { server, agent } = await serve({ protocol, respond })
  const seen: unknown[] = []
  const watched = agent.compose((dispatch) => (options, handler) => {
    seen.push(caller.getStore())
    return dispatch(options, handler)
  })
  const fetch = createFetch(watched)

  for (const path of ['/opens-it', '/', '/quick']) await caller.run(path, () => fetch(server.url(path)))

  expect(seen).toEqual(['/opens-it', '/', '/', '/quick', '/quick'])
})
