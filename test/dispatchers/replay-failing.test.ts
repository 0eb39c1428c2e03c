import { createReadStream, openAsBlob } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { attemptTimeout, circuitBreaker, type Outcome, retry } from 'roundtripper'
import { FormData as UndiciFormData } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { guard } from '../../src/dispatchers/guard.ts'
import { recordedBytes } from '../../src/dispatchers/replay.ts'
import { call, callByFetch, chainTo, errorOf, protocols, quick, serve, turns } from './retry-servers.ts'

class Boom extends Error {}

/** What became of every attempt, as a policy next to the transport sees it. */
function watcher(): { layer: ReturnType<typeof guard>; seen: Outcome[] } {
  const seen: Outcome[] = []
  const layer = guard({ acquire: () => ({ settle: (outcome) => void seen.push(outcome) }) })
  return { layer, seen }
}

const failing = [
  [
    'a generator that fails at once',
    (boom: Error) =>
      (async function* () {
        yield* []
        throw boom
      })(),
  ],
  [
    'a sync generator that fails at once',
    (boom: Error) =>
      (function* () {
        yield* []
        throw boom
      })(),
  ],
  [
    'a generator that fails midway',
    (boom: Error) =>
      (async function* () {
        yield Buffer.alloc(50_000)
        await turns(2)
        throw boom
      })(),
  ],
  ['a Node stream that fails at once', (boom: Error) => new Readable({ read: (_size?: number) => {} }).destroy(boom)],
  [
    'a Node stream that fails midway',
    (boom: Error) =>
      Readable.from(
        (async function* () {
          yield Buffer.alloc(50_000)
          await turns(2)
          throw boom
        })(),
      ),
  ],
  [
    'a web stream that fails midway',
    (boom: Error) => {
      let pulls = 0
      return new ReadableStream({
        pull(controller) {
          if (pulls++ === 0) controller.enqueue(Buffer.alloc(50_000))
          else controller.error(boom)
        },
      })
    },
  ],
  [
    'an iterable whose iterator cannot be made',
    (boom: Error) => ({
      [Symbol.asyncIterator]() {
        throw boom
      },
    }),
  ],
  [
    'a function that throws',
    (boom: Error) => () => {
      throw boom
    },
  ],
  [
    'a function that makes a failing generator',
    (boom: Error) =>
      async function* () {
        yield* []
        throw boom
      },
  ],
] as const

describe.each(protocols)('a body that fails, over HTTP/$version', ({ protocol }) => {
  describe.each([
    ['with a retry', true],
    ['without a retry', false],
  ])('%s', (_retry, withRetry) => {
    it.each(failing)("16: %s is nobody's failure, and later calls go well", async (_, make) => {
      const server = await serve({ protocol })
      const breaker = circuitBreaker()
      const { layer, seen } = watcher()
      const chain = chainTo(server, withRetry ? retry(quick) : null, breaker, attemptTimeout(), layer)
      // On a cold agent, then on a warm one.
      for (const round of [1, 2]) {
        const boom = new Boom('the body fails')
        expect(await errorOf(call(chain, server.url('/failing'), { method: 'PUT', body: make(boom) }))).toBe(boom)
        expect(seen.map(({ kind }) => kind)).toEqual(['invalid'])
        expect(server.requests.every(({ complete }) => !complete)).toBe(true)
        expect(server.count('/failing')).toBeLessThanOrEqual(round)
        seen.length = 0
        expect(await call(chain, server.url(), { method: 'PUT', body: 'fine' })).toMatchObject({ status: 200 })
        expect(await server.requests.at(-1)?.text()).toBe('fine')
        seen.length = 0
        server.clear()
      }
      expect(Object.values(breaker.state())).toMatchObject([{ state: 'closed', retryAfter: 0, calls: 2, failures: 0 }])
      expect(recordedBytes()).toBe(0)
    })
  })

  it('16: a body that fails in a later attempt ends the call, and that attempt is no failure either', async () => {
    const server = await serve({ protocol, respond: { status: 503, waitForBody: false } })
    const { layer, seen } = watcher()
    const chain = chainTo(server, retry(quick), layer)
    const boom = new Boom('the body fails')
    async function* body() {
      yield 'abc'
      await server.until(() => server.count() === 2)
      throw boom
    }
    server.script('*', [{ status: 503, waitForBody: false }, { hang: 'head' }])
    expect(await errorOf(call(chain, server.url(), { method: 'PUT', body: body() }))).toBe(boom)
    expect(seen.map(({ kind }) => kind)).toEqual(['serverError', 'invalid'])
    expect(server.count()).toBe(2)
  })

  it('16: a body that gives something else than bytes ends the call, and closes its source', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    let closed = false
    async function* body() {
      try {
        yield 'abc'
        yield { not: 'bytes' }
      } finally {
        closed = true
      }
    }
    const error = await errorOf(call(chain, server.url(), { method: 'PUT', body: body() }))
    expect(error).toMatchObject({ name: 'TypeError', message: 'a request body must give strings or bytes, got object' })
    await turns()
    expect(closed).toBe(true)
    expect(server.requests.every(({ complete }) => !complete)).toBe(true)
  })

  it.each([undefined, null, 0, ''])('16: a body that fails with %j ends the call', async (nothing) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    async function* body() {
      yield 'abc'
      throw nothing
    }
    const error = await errorOf(call(chain, server.url(), { method: 'PUT', body: body() }))
    expect(error).toMatchObject({ message: `the request body failed with ${String(nothing)}` })
  })

  it.each([
    ['a number', 42],
    ['a promise', Promise.resolve('text')],
    ['a FormData of Node', new FormData()],
  ])('16: a function that makes %s ends the call, and later calls go well', async (_, made) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    expect(await errorOf(call(chain, server.url(), { method: 'PUT', body: () => made }))).toMatchObject({
      code: 'ERR_INVALID_REQUEST',
      message: expect.stringContaining('what the body function makes must be a string, bytes'),
    })
    expect(await call(chain, server.url(), { method: 'PUT', body: 'fine' })).toMatchObject({ status: 200 })
    expect(server.count()).toBe(1)
  })

  it.each([
    ['a Blob', (file: Blob) => file],
    [
      'a FormData',
      (file: Blob) => {
        const form = new UndiciFormData()
        form.set('file', file, 'file')
        return form
      },
    ],
  ])("16: %s whose file has changed is nobody's failure", async (_, wrap) => {
    const folder = await mkdtemp(join(tmpdir(), 'replay-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const path = join(folder, 'file')
    await writeFile(path, 'before')
    const file = await openAsBlob(path)
    await writeFile(path, 'after, and longer')
    const server = await serve({ protocol })
    const { layer, seen } = watcher()
    const chain = chainTo(server, retry(quick), layer)
    expect(await errorOf(call(chain, server.url(), { method: 'PUT', body: wrap(file) }))).toMatchObject({
      name: 'NotReadableError',
    })
    expect(seen.map(({ kind }) => kind)).toEqual(['invalid'])
    expect(server.requests.every(({ complete }) => !complete)).toBe(true)
  })

  it('16: a file that does not exist ends the call with the error of its stream', async () => {
    const server = await serve({ protocol })
    const { layer, seen } = watcher()
    const chain = chainTo(server, retry(quick), layer)
    const body = createReadStream(join(tmpdir(), 'replay-there-is-no-such-file'))
    expect(await errorOf(call(chain, server.url(), { method: 'PUT', body }))).toMatchObject({ code: 'ENOENT' })
    expect(seen.map(({ kind }) => kind)).toEqual(['invalid'])
  })

  it('16: through fetch a failing stream fails the call, and later calls go well', async () => {
    const server = await serve({ protocol })
    const breaker = circuitBreaker()
    const chain = chainTo(server, retry(quick), breaker, attemptTimeout())
    const boom = new Boom('the body fails')
    const body = new ReadableStream({
      pull(controller) {
        controller.error(boom)
      },
    })
    const error = (await errorOf(callByFetch(chain, server.url(), { method: 'PUT', body }))) as Error
    expect([error, error.cause]).toContain(boom)
    expect(await callByFetch(chain, server.url(), { method: 'PUT', body: 'fine' })).toMatchObject({ status: 200 })
    expect(Object.values(breaker.state())).toMatchObject([{ failures: 0 }])
    expect(server.requests.filter(({ complete }) => complete)).toHaveLength(1)
  })
})
