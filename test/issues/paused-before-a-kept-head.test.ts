// A consumer may hold its body back before there is a head. An answer that was kept, or made up, has a controller of its
// own, which heard nothing of that: the whole body came at once.
import { fallback, hedge, type Layers } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it } from 'vitest'
import { chainTo, protocols, serve, turns } from '../dispatchers/retry-servers.ts'

describe.each(protocols)('a body that is held back before its head, over $version', ({ protocol }) => {
  it.each<[string, string, () => Layers]>([
    ['a value', 'made', () => fallback({ value: { body: 'made' } })],
    ['a kept failure', 'down', () => fallback({ respond: async () => undefined })],
    ['the best of several failures', 'down', () => hedge({ budget: false })],
  ])('45: waits where it is %s', async (_what, body, layer) => {
    const server = await serve({ protocol, respond: [{ status: 503, body: 'down' }, { reset: 'before-head' }] })
    const chain = chainTo(server, layer())
    const seen: string[] = []
    const head = gate()
    const end = gate()
    let controller: Dispatcher.DispatchController | undefined
    chain.dispatch(
      { origin: server.origin, path: '/', method: 'GET' },
      {
        onRequestStart(given) {
          controller = given
          given.pause()
        },
        onResponseStart() {
          seen.push('head')
          head.open()
        },
        onResponseData: (_, chunk) => void seen.push(chunk.toString()),
        onResponseEnd() {
          seen.push('end')
          end.open()
        },
        onResponseError: (_, error) => void seen.push(error.message),
      },
    )
    await head.promise
    await turns(50)
    expect(seen).toEqual(['head'])
    controller?.resume()
    await end.promise
    expect(seen).toEqual(['head', body, 'end'])
  })
})
