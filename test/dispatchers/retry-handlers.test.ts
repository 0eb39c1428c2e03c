import { bulkhead, retry } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, send, serve, warmChainTo } from './retry-servers.ts'

describe.each(protocols)('handlers over HTTP/$version', ({ protocol }) => {
  it('35: see onRequestStart once, one head and one end, over all attempts', async () => {
    const server = await serve({
      protocol,
      respond: [503, { reset: 'before-head' }, { refuse: true }, { refuse: true }, { body: 'fine' }],
    })
    const events: string[] = []
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 6 }), bulkhead())
    await new Promise<void>((resolve) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'GET' },
        {
          onRequestStart: () => void events.push('start'),
          onResponseStart: (_controller, status) => void events.push(`head ${status}`),
          onResponseData: (_controller, chunk) => void events.push(`data ${chunk}`),
          onResponseEnd: () => {
            events.push('end')
            resolve()
          },
          onResponseError: (_controller, error) => {
            events.push(`error ${error.message}`)
            resolve()
          },
        },
      )
    })
    expect(events).toEqual(['start', 'head 200', 'data fine', 'end'])
    expect(server.count()).toBe(5)
  })

  it('35: have a controller that always speaks of the attempt under way', async () => {
    const server = await serve({ protocol, respond: [503, { hang: 'head' }] })
    const chain = chainTo(server, retry(quick))
    let controller: Dispatcher.DispatchController | undefined
    const failed = new Promise<Error>((resolve) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'GET' },
        {
          onRequestStart: (given) => {
            controller = given
          },
          onResponseError: (_controller, error) => resolve(error),
        },
      )
    })
    await server.until(() => server.count() === 2)
    const reason = new Error('enough')
    expect([controller?.aborted, controller?.reason]).toEqual([false, null])
    controller?.abort(reason)
    expect(await failed).toBe(reason)
    expect([controller?.aborted, controller?.reason]).toEqual([true, reason])
    expect((await server.requests[1]?.closed)?.how).toBe('aborted')
  })

  it('45: interim responses pass through, those of given up attempts too', async () => {
    const server = await serve({
      protocol,
      respond: [
        { status: 503, early: [{ status: 103, headers: { link: '</a>' } }] },
        { early: [{ status: 102 }, { status: 103, headers: { link: '</b>' } }], body: 'fine' },
      ],
    })
    const infos: unknown[] = []
    const chain = chainTo(server, retry(quick))
    const onInfo = (info: { statusCode: number; headers: Record<string, string> }) =>
      void infos.push([info.statusCode, info.headers.link])
    const { statusCode, body } = await send(chain, server.url(), { onInfo } as never)
    expect(statusCode).toBe(200)
    expect(await body.text()).toBe('fine')
    expect(infos).toEqual([
      [103, '</a>'],
      [102, undefined],
      [103, '</b>'],
    ])
  })

  it('45: a consumer that throws at the head ends its call, and is not answered a second time', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, retry({ ...quick, retryOn: () => true }))
    server.script('*', [{ status: 404, body: 'no' }])
    const boom = new Error('the consumer')
    const errors: Error[] = []
    await new Promise<void>((resolve) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'POST' },
        {
          onRequestStart: () => {},
          onResponseStart: () => {
            throw boom
          },
          onResponseError: (_controller, error) => {
            errors.push(error)
            resolve()
          },
        },
      )
    })
    expect(errors).toEqual([boom])
    expect(server.count()).toBe(1)
    expect(await call(chain, server.url(), { method: 'POST' })).toMatchObject({ status: 404 })
  })

  it('48: a foreign layer below that changes what it is handed is handed the same again', async () => {
    const server = await serve({ protocol, respond: { '/v1/a': [503, 503, 200], '*': 404 } })
    const paths: string[] = []
    const rewrite: Dispatcher.DispatcherComposeInterceptor = (dispatch) =>
      function rewrite(opts, handler) {
        paths.push(opts.path)
        opts.path = `/v1${opts.path}`
        return dispatch(opts, handler)
      }
    const given = { method: 'GET' as const, headers: { 'x-a': '1' } }
    expect(await call(chainTo(server, retry(quick), rewrite), server.url('/a'), given)).toMatchObject({ status: 200 })
    expect(paths).toEqual(['/a', '/a', '/a'])
    expect(given).toEqual({ method: 'GET', headers: { 'x-a': '1' } })
  })

  it('48: works alone in agent.compose', async () => {
    const server = await serve({ protocol, respond: [503, { reset: 'before-head' }, { echo: true }] })
    const chain = chainTo(server).compose(retry(quick))
    const { text } = await call(chain, server.url(), { method: 'PUT', body: ['a', 'b'] })
    expect(JSON.parse(text)).toMatchObject({ body: 'ab' })
  })

  it('46: close() waits for a call in its backoff, and for its answer', async () => {
    const server = await serve({ protocol, respond: [503, { body: 'fine' }] })
    const chain = chainTo(server, retry({ backoff: 20 }))
    const answer = call(chain, server.url())
    await server.until(() => server.count() === 1)
    const closed = chain.close()
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'UND_ERR_CLOSED' })
    expect(await answer).toEqual({ status: 200, text: 'fine' })
    await closed
    expect(server.count()).toBe(2)
  })
})
