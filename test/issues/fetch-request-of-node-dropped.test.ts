// The signal of a Request of Node's own follows the caller's only while that Request lives. It was dropped once it had been
// read, and after the next collection an abort reached nobody.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

it.each(protocols)("an abort reaches a call with a Request of Node's own over HTTP/$version", async ({ protocol }) => {
  const { server, agent } = await serve({ protocol, respond: { body: 'begun', hang: 'body' } })
  const fetch = createFetch(agent)
  const controller = new AbortController()
  const call = async () => {
    const response = await fetch(new Request(server.url(), { signal: controller.signal }))
    return { text: response.text() }
  }
  const { text } = await call()
  await new Promise(setImmediate)
  collectGarbage()
  await new Promise(setImmediate)
  const reason = new Error('enough')

  controller.abort(reason)

  await expect(text).rejects.toBe(reason)
})
