// A body that had come whole before its stream was looked at (`if (response.body)`), and was not read: the signal of the
// call held on to it for as long as the signal lived, and so did every signal that many calls share.
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

it.each(protocols)('a stream that was looked at lets go of the signal over HTTP/$version', async ({ protocol }) => {
  const { server, agent } = await serve({ protocol, respond: { body: 'short' } })
  const fetch = createFetch(agent)
  const { signal } = new AbortController()
  const call = async () => {
    const { body } = await fetch(server.url(), { signal })
    expect(body).not.toBeNull()
  }

  await call()
  await call()
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)

  await expect
    .poll(() => {
      collectGarbage()
      return getEventListeners(signal, 'abort').length
    })
    .toBe(0)
})
