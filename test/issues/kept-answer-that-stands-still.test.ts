// hedge() keeps a failed answer for the case that no other comes, and with it its slot. Where the body stood still, and the
// next attempt waited for that slot, the call hung.
import { bulkhead, compose, hedge } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { arrived, fixed, stoppedClock } from '../dispatchers/hedge-fixtures.ts'
import { call, protocols, send, serve, warmChainTo } from '../dispatchers/retry-servers.ts'

const stalled = { status: 503, body: 'down', hang: 'body' } as const

describe.each(protocols)('a failed answer that stands still, over $version', ({ protocol }) => {
  it('18, 31: gives its slot back after a second, to the attempt that waits for it', async () => {
    const server = await serve({ protocol })
    const slots = bulkhead({ limit: 1 })
    const chain = compose(await warmChainTo(server), hedge(fixed), slots)
    server.script('*', [stalled, { body: 'second' }])
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(990)
    expect(server.requests).toHaveLength(1)
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 1 })
    await clock.advance(20)
    expect(await answer).toEqual({ status: 200, text: 'second' })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('13, 31: stays what the caller gets where nothing else is left', async () => {
    const server = await serve({ protocol })
    const rest = gate()
    const chain = compose(await warmChainTo(server), hedge(fixed))
    server.script('*', [
      { status: 500, body: 'first' },
      { status: 503, body: ['as it', rest.promise, ' was'] },
    ])
    const clock = await stoppedClock()
    const { statusCode, body } = await send(chain, server.url('/'))
    for (let step = 0; step < 30; step++) await clock.advance(100)
    rest.open()
    expect([statusCode, await body.text()]).toEqual([503, 'as it was'])
  })
})
