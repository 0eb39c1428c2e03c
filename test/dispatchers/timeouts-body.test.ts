import {
  attemptTimeout,
  BodyTimeoutError,
  bodyTimeout,
  bulkhead,
  circuitBreaker,
  createFetch,
  deadline,
  retry,
} from 'roundtripper'
import { type BodyPart, gate, type Step } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  call,
  callByFetch,
  chainTo,
  errorOf,
  eventually,
  protocols,
  quick,
  send,
  serve,
  stopClock,
  turns,
  warmChainTo,
} from './retry-servers.ts'

/** Warnings of this kit from now on to the end of the test. */
function warnings(): Error[] {
  const seen: Error[] = []
  const note = (warning: Error) => {
    if (warning.name === 'RoundtripperWarning') seen.push(warning)
  }
  process.on('warning', note)
  onTestFinished(() => {
    process.off('warning', note)
  })
  return seen
}

describe.each(protocols)('bodies over HTTP/$version', ({ protocol }) => {
  it('25: bodyTimeout ends a body that stands still while it is read, and frees its slot', async () => {
    const server = await serve({ protocol, respond: { body: ['first'], hang: 'body' } })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, retry(quick), slots, bodyTimeout(40))
    const { body } = await send(chain, server.url())
    const error = await errorOf(body.text())
    expect(error).toBeInstanceOf(BodyTimeoutError)
    expect(error).toMatchObject({ origin: server.origin, message: expect.stringContaining('40 ms') })
    expect(slots.state()[server.origin]?.inUse).toBe(0)
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
    expect(server.count()).toBe(1)
  })

  it('25: through fetch, too, it is what ends the body', async () => {
    const server = await serve({ protocol, respond: { body: ['first'], hang: 'body' } })
    const error = (await errorOf(callByFetch(chainTo(server, bodyTimeout(40)), server.url()))) as Error
    expect(error).toMatchObject({ name: 'TypeError', message: 'terminated' })
    expect(error.cause).toBeInstanceOf(BodyTimeoutError)
  })

  it('25: every piece of a body starts its time anew', async () => {
    const gates = Array.from({ length: 5 }, () => gate())
    const parts: BodyPart[] = gates.flatMap(({ promise }, at) => [`${at}`, promise])
    const server = await serve({ protocol, respond: { '/warm': 200, '*': { body: parts } } })
    const chain = await warmChainTo(server, bodyTimeout(50))
    const { advance } = stopClock()
    const { body } = await send(chain, server.url())
    let text = ''
    const read = (async () => {
      for await (const chunk of body) text += String(chunk)
    })()
    for (const [at, { open }] of gates.entries()) {
      await eventually(() => text.length === at + 1)
      await advance(49)
      open()
    }
    await read
    expect(text).toBe('01234')
  })

  it('25: a body that its reader holds back is not late, however long; once it is read, its time runs again', async () => {
    const server = await serve({
      protocol,
      respond: { '/warm': 200, '*': { body: [Buffer.alloc(1_000_000)], hang: 'body' } },
    })
    const chain = await warmChainTo(server, bodyTimeout(30))
    const seen = warnings()
    const { advance } = stopClock()
    const { body } = await send(chain, server.url())
    await eventually(() => body.readableLength >= body.readableHighWaterMark)
    await advance(10_000)
    let size = 0
    let error: unknown
    body.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    body.on('error', (found) => {
      error = found
    })
    await eventually(() => size === 1_000_000)
    await advance(29)
    expect(error).toBeUndefined()
    await advance(2)
    expect(error).toBeInstanceOf(BodyTimeoutError)
    expect(seen).toEqual([])
  })

  it('25: a body held back before its head came is not late either', async () => {
    const server = await serve({ protocol, respond: { '/warm': 200, '*': { body: 'short' } } })
    const chain = await warmChainTo(server, bodyTimeout(20))
    const seen = warnings()
    const { advance } = stopClock()
    let controller: Dispatcher.DispatchController | undefined
    let head = false
    let text = ''
    const ended = new Promise<string>((resolve, reject) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'GET' },
        {
          onRequestStart: (given) => {
            controller = given
            given.pause()
          },
          onResponseStart: () => {
            head = true
          },
          onResponseData: (_controller, chunk) => {
            text += String(chunk)
          },
          onResponseEnd: () => resolve(text),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
    await eventually(() => head)
    await advance(1_000)
    controller?.resume()
    expect(await ended).toBe('short')
    expect(seen).toEqual([])
  })

  it('25: a body that comes after the attempt timeout and the deadline is whole, also after a retry', async () => {
    const later = gate()
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, deadline(60), retry(quick), attemptTimeout(30))
    server.script('*', [503, { body: ['first ', later.promise, 'last'] }])
    const { advance } = stopClock()
    let head = false
    const answer = send(chain, server.url()).then(({ body }) => {
      head = true
      return body.text()
    })
    await server.until(() => server.count() === 1)
    await eventually(() => vi.getTimerCount() > 0)
    await turns()
    await advance(2)
    await eventually(() => head)
    await advance(10_000)
    later.open()
    expect(await answer).toBe('first last')
  })

  const breaks: readonly (readonly [string, Step])[] = [
    ['reset', { reset: 'in-body', headers: { 'content-length': 100 }, body: ['01234'] }],
    ['cut off', { cut: true, headers: { 'content-length': 100 }, body: ['01234'] }],
    ['lost with its connection', { destroySession: 'in-body', headers: { 'content-length': 100 }, body: ['01234'] }],
  ]

  it.each(breaks)('20: a body that is %s is an error; no other attempt continues it', async (_, step) => {
    const server = await serve({ protocol, respond: [step, { body: '56789' }] })
    const breaker = circuitBreaker()
    const chain = chainTo(server, retry({ ...quick, retryOn: () => undefined }), breaker, attemptTimeout())
    const { statusCode, body } = await send(chain, server.url())
    expect(statusCode).toBe(200)
    let text = ''
    const failed = errorOf(
      (async () => {
        for await (const chunk of body) text += String(chunk)
      })(),
    )
    expect(await failed).toBeInstanceOf(Error)
    expect('01234'.startsWith(text)).toBe(true)
    expect(server.count()).toBe(1)
  })

  it.each(breaks)(
    '20: through fetch, a body that is %s is an error; no other attempt continues it',
    async (_, step) => {
      const server = await serve({ protocol, respond: [step, { body: '56789' }] })
      const response = await createFetch(chainTo(server, retry(quick)))(server.url())
      expect(await errorOf(response.text())).toMatchObject({ name: 'TypeError', message: 'terminated' })
      expect(server.count()).toBe(1)
    },
  )

  it('20: the last response of attempts that ran out may break, and is not continued', async () => {
    const server = await serve({
      protocol,
      respond: [503, { status: 503, reset: 'in-body', headers: { 'content-length': 100 }, body: ['01234'] }, 200],
    })
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 2 }))
    const { statusCode, body } = await send(chain, server.url())
    expect(statusCode).toBe(503)
    expect(await errorOf(body.text())).toBeInstanceOf(Error)
    expect(server.count()).toBe(2)
  })

  it('20: retryOn is not asked about a body that broke', async () => {
    const server = await serve({
      protocol,
      respond: { reset: 'in-body', headers: { 'content-length': 100 }, body: ['01234'] },
    })
    const phases: string[] = []
    const chain = chainTo(
      server,
      retry({
        ...quick,
        retryOn: ({ phase }) => {
          phases.push(phase)
          return undefined
        },
      }),
    )
    expect(await errorOf(call(chain, server.url()))).toBeInstanceOf(Error)
    expect(phases).toEqual(['head'])
    expect(server.count()).toBe(1)
  })
})
