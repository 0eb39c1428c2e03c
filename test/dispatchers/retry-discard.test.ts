import { attemptTimeout, bulkhead, retry } from 'roundtripper'
import { type BodyPart, gate, type Step } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, quick, serve } from './retry-servers.ts'

const kib = 1024

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield Buffer.alloc(16 * kib)
}

/** A body that does not end before the gate opens. */
function stalled(): { step: Step; end: () => void } {
  const { promise, open } = gate()
  const body: BodyPart[] = ['a part', promise]
  return { step: { status: 503, body }, end: open }
}

describe.each(protocols)('answers that are not wanted, over HTTP/$version', ({ protocol }) => {
  it.each([0, 1, 64 * kib])('18: one of %d bytes is read, and its connection used again', async (size) => {
    const server = await serve({ protocol, respond: [{ status: 503, body: Buffer.alloc(size) }, 200] })
    // Long enough for the body to come in.
    const chain = chainTo(server, retry({ backoff: 40 }))
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1])
    expect((await server.requests[0]?.closed)?.how).toBe('answered')
  })

  it('18: a longer one is cancelled; over HTTP/2 only its stream is', async () => {
    const server = await serve({ protocol, respond: { '/': [{ status: 503, body: Buffer.alloc(4_000_000) }, 200] } })
    const chain = chainTo(server, retry(quick))
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
    expect(server.requests.map(({ connection }) => connection)).toEqual(protocol === 'h2' ? [1, 1] : [1, 2])
  })

  it('18: one without end is cancelled, and its neighbours are left alone', async () => {
    const held = gate()
    const server = await serve({
      protocol,
      respond: {
        '/neighbour': { body: ['first ', held.promise, 'last'] },
        '/': [{ status: 503, body: endless() }, 200],
      },
    })
    const chain = chainTo(server, retry(quick))
    const neighbour = call(chain, server.url('/neighbour'))
    await server.until(() => server.count('/neighbour') === 1)
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect((await server.requests[1]?.closed)?.how).toBe('aborted')
    held.open()
    expect(await neighbour).toEqual({ status: 200, text: 'first last' })
    if (protocol === 'h2') expect(server.connections.opened).toBe(1)
  })

  it('18: it is cancelled after 64 KiB, however long the backoff', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: endless() } })
    const chain = chainTo(server, retry({ backoff: 60_000, maxDelay: 60_000 }))
    const abort = new AbortController()
    const failed = errorOf(call(chain, server.url(), { signal: abort.signal }))
    await server.until(() => server.count() === 1)
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
    abort.abort()
    expect(await failed).toBe(abort.signal.reason)
  })

  it('18: one that stands still is waited for no longer than the backoff', async () => {
    const { step, end } = stalled()
    const server = await serve({ protocol, respond: [step, 200] })
    const chain = chainTo(server, retry({ backoff: 20 }))
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
    end()
  })

  it('18: its outcome stands, whatever becomes of its body', async () => {
    const kinds: string[] = []
    const server = await serve({ protocol, respond: [{ status: 503, reset: 'in-body', body: ['ab'] }, 200] })
    const chain = chainTo(
      server,
      retry({
        backoff: 20,
        retryOn: ({ kind }) => {
          kinds.push(kind)
          return undefined
        },
      }),
    )
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect(kinds).toEqual(['serverError', 'success'])
  })

  it('18: the slot is free for the next attempt, every time', async () => {
    const slots = bulkhead({ limit: 1, queue: 0 })
    const steps: Step[] = [
      503,
      { status: 503, body: 'short' },
      { reset: 'before-head' },
      { status: 503, body: Buffer.alloc(80 * kib) },
    ]
    for (const step of steps) {
      const server = await serve({ protocol, respond: [step, 200] })
      server.script('*', [step, 200], { afterLast: 'restart' })
      const chain = chainTo(server, retry({ backoff: 0 }), slots)
      for (let round = 0; round < 50; round++) {
        expect(await call(chain, server.url())).toMatchObject({ status: 200 })
      }
      expect(server.count()).toBe(100)
      expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
    }
  })

  it('18: the slot is free for the next attempt after one that timed out', async () => {
    const slots = bulkhead({ limit: 1, queue: 0 })
    const server = await serve({ protocol, respond: [{ hang: 'head' }, 200] })
    server.script('*', [{ hang: 'head' }, 200], { afterLast: 'restart' })
    const chain = chainTo(server, retry({ backoff: 0 }), slots, attemptTimeout(30))
    for (let round = 0; round < 5; round++) expect(await call(chain, server.url())).toMatchObject({ status: 200 })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('18: the slot is free while the backoff lasts', async () => {
    const slots = bulkhead({ limit: 1, queue: 0 })
    const server = await serve({ protocol, respond: { '/': { status: 503, body: 'short' }, '/other': 200 } })
    const chain = chainTo(server, retry({ backoff: 5_000 }), slots)
    const abort = new AbortController()
    const failed = errorOf(call(chain, server.url(), { signal: abort.signal }))
    await eventually(() => server.count('/') === 1 && slots.state()[server.origin]?.inUse === 0)
    expect(await call(chain, server.url('/other'))).toMatchObject({ status: 200 })
    abort.abort()
    await failed
  })
})
