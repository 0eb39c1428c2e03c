import { type Script, startServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { agentFor, call, startPair, versions } from './support.ts'

describe.each(versions)('scripts, $protocol', ({ protocol }) => {
  async function statuses(count: number, path: string, pair: Awaited<ReturnType<typeof startPair>>) {
    const seen: number[] = []
    for (let i = 0; i < count; i++) seen.push((await call(pair.agent, pair.server.url(path))).status)
    return seen
  }

  it('play one step a request, then the last one for ever', async () => {
    const pair = await startPair({ protocol })
    pair.server.script('/a', [503, { status: 429 }, 201])
    expect(await statuses(5, '/a', pair)).toEqual([503, 429, 201, 201, 201])
  })

  it('start again, or hand over to the * script, if told to', async () => {
    const pair = await startPair({ protocol, respond: 418 })
    pair.server.script('/again', [500, 501], { afterLast: 'restart' })
    pair.server.script('/once', 500, { afterLast: 'default' })
    expect(await statuses(5, '/again', pair)).toEqual([500, 501, 500, 501, 500])
    expect(await statuses(3, '/once', pair)).toEqual([500, 418, 418])
  })

  it('go by path, with a query first, and can be replaced', async () => {
    const pair = await startPair({ protocol, respond: { '*': 404, '/a': 201, '/a?b': 202 } })
    expect(await statuses(1, '/a', pair)).toEqual([201])
    expect(await statuses(1, '/a?c', pair)).toEqual([201])
    expect(await statuses(1, '/a?b', pair)).toEqual([202])
    expect(await statuses(1, '/x', pair)).toEqual([404])
    pair.server.script('/a', 203).script('*', 410)
    expect(await statuses(1, '/a', pair)).toEqual([203])
    expect(await statuses(1, '/x', pair)).toEqual([410])
  })

  it('can be functions of the request, also among other steps', async () => {
    const pair = await startPair({ protocol })
    pair.server.script('/a', [503, ({ number }) => ({ body: `request ${number}` }), async () => 202])
    expect((await call(pair.agent, pair.server.url('/a'))).status).toBe(503)
    expect((await call(pair.agent, pair.server.url('/a'))).text).toBe('request 2')
    expect((await call(pair.agent, pair.server.url('/a'))).status).toBe(202)
  })

  it('that fail answer 500 with the reason, and fail close()', async () => {
    const server = await startServer({ protocol })
    const agent = agentFor(server)
    onTestFinished(() => agent.destroy())
    server.script('/throws', () => {
      throw new Error('no such user')
    })
    server.script('/wrong', () => ({ status: 7 }))
    const { status, text } = await call(agent, server.url('/throws'))
    expect(status).toBe(500)
    expect(text).toContain('no such user')
    await call(agent, server.url('/wrong'))
    const error = await server.close().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AggregateError)
    expect(error.errors.map(String)).toEqual([
      'Error: no such user',
      'RangeError: status must be a whole number from 101 to 999, got 7',
    ])
  })

  it('that fail after the head break the answer off, and fail close()', async () => {
    const server = await startServer({ protocol })
    const agent = agentFor(server)
    onTestFinished(() => agent.destroy())
    server.script('/', () => ({
      body: (async function* () {
        yield 'a'
        throw new Error('out of data')
      })(),
    }))
    await expect(call(agent, server.url())).rejects.toThrow()
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'faulted' })
    await expect(server.close()).rejects.toThrow('out of data')
  })
})

describe('what cannot be played is refused when it is written', () => {
  it.each<[string, unknown]>([
    ['unknown option "stauts"', { stauts: 200 }],
    ['status must be a whole number from 101 to 999, got 42', 42],
    ['delay must be a number from 0', { delay: -1 }],
    ['bodyDelay must be a number from 0', { bodyDelay: Number.NaN }],
    ["reset must be 'before-head' or 'in-body', got true", { reset: true }],
    ["hang must be 'head' or 'body', got tail", { hang: 'tail' }],
    ["destroySession must be 'before-head' or 'in-body'", { destroySession: true }],
    ['resetCode must be a whole number from 0 to 4294967295', { resetCode: -1 }],
    ['early status must be a whole number from 100 to 199', { early: [{ status: 200 }] }],
    ['goaway.lastStreamId must be a whole number from 1', { goaway: { lastStreamId: 0 } }],
    ['goaway.code must be a whole number', { goaway: { code: 'x' } }],
    ['a script must have at least one step', []],
    ['step: options must be an object', null],
  ])('%s', async (message, script) => {
    await using server = await startServer({ protocol: 'h1c' })
    expect(() => server.script('/', script as Script)).toThrow(message)
  })

  it('paths and options too', async () => {
    await using server = await startServer({ protocol: 'h1c' })
    expect(() => server.script('a', 200)).toThrow("path must begin with '/' or be '*', got 'a'")
    expect(() => server.script('*', 200, { afterLast: 'default' })).toThrow("the '*' script")
    expect(() => server.script('/', 200, { afterLast: 'stop' as never })).toThrow('afterLast must be')
    await expect(startServer({ protocol: 'h3' as never })).rejects.toThrow('protocol must be one of both, h1, h2')
    await expect(startServer({ port: 80 } as never)).rejects.toThrow('unknown option "port"')
    await expect(startServer({ bodyLimit: -1 })).rejects.toThrow('bodyLimit must be')
    await expect(startServer({ respond: { status: 1 } })).rejects.toThrow('status must be')
  })
})
