// Where all who share a request hold its body back, it is held back at the server. One that came then, and wanted to read,
// waited for the others to go on.
import { deduplicate } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { call, chainTo, protocols, serve, turns } from '../dispatchers/retry-servers.ts'

it.each(protocols)('29: a caller that reads is not held back by one that does not, over $version', async (version) => {
  const server = await serve({ protocol: version.protocol, respond: { body: 'x' } })
  const chain = chainTo(server, deduplicate())
  const seen: string[] = []
  const started = gate()
  let controller: Dispatcher.DispatchController | undefined
  chain.dispatch(
    { origin: server.origin, path: '/', method: 'GET' },
    {
      onRequestStart() {},
      onResponseStart(given) {
        controller = given
        given.pause()
        started.open()
      },
      onResponseData: (_, chunk) => void seen.push(chunk.toString()),
      onResponseEnd: () => void seen.push('end'),
      onResponseError: (_, error) => void seen.push(error.message),
    },
  )
  await started.promise
  await turns()
  expect((await call(chain, server.url('/'))).text).toBe('x')
  expect(seen).toEqual([])
  controller?.resume()
  expect(seen).toEqual(['x', 'end'])
  expect(server.requests).toHaveLength(1)
})
