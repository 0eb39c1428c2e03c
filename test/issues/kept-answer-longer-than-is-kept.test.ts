// While it is open what takes its place, fallback() keeps 64 KiB of a failed answer and holds the rest back. Was that answer
// the caller's after all, nobody let the rest come: a caller that never held back itself waited for ever. Was it not, its
// slot was held for a second more.
import { bulkhead, fallback } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, protocols, serve, turns } from '../dispatchers/retry-servers.ts'

const length = 1024 * 1024

describe.each(protocols)('a failed answer of 1 MiB over $version', ({ protocol }) => {
  async function serveLong() {
    const server = await serve({ protocol, respond: { status: 503, body: Buffer.alloc(length, 'x') } })
    const asked = gate()
    const ready = gate()
    return { server, asked, ready }
  }

  it('13: is whole where nothing takes its place', async () => {
    const { server, asked, ready } = await serveLong()
    const respond = async () => {
      asked.open()
      await ready.promise
      return undefined
    }
    const chain = chainTo(server, fallback({ respond }))
    let bytes = 0
    const over = new Promise((resolve) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'GET' },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData(_, chunk) {
            bytes += chunk.length
          },
          onResponseEnd: () => resolve('end'),
          onResponseError: (_, error) => resolve(error),
        },
      )
    })
    await asked.promise
    await turns(200)
    ready.open()
    expect(await over).toBe('end')
    expect(bytes).toBe(length)
  })

  it('26: holds no slot once something else is the answer', async () => {
    const { server, asked, ready } = await serveLong()
    const respond = async () => {
      asked.open()
      await ready.promise
      return { body: 'instead' }
    }
    const slots = bulkhead({ limit: 1 })
    const answer = call(chainTo(server, fallback({ respond }), slots), server.url('/'))
    await asked.promise
    await turns(200)
    expect(slots.state()[server.origin]?.inUse).toBe(1)
    ready.open()
    expect((await answer).text).toBe('instead')
    expect(slots.state()[server.origin]?.inUse).toBe(0)
  })
})
