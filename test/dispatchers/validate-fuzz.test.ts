// Our check against undici's own: what one lets through the other must take. fast-check tells its seed where one does not.
import fc from 'fast-check'
import { compose, createAgent, InvalidRequestError, retry } from 'roundtripper'
import { startServer, type TestServer } from 'roundtripper/testing'
import { Client, type Dispatcher, FormData as UndiciFormData } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { originOf } from '../../src/dispatchers/origin-of.ts'
import { checkRequest } from '../../src/dispatchers/validate.ts'
import { protocols } from './retry-servers.ts'

type Options = Dispatcher.DispatchOptions

const names = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('x-a', 'X-A', 'accept', 'content-type', 'Cookie', '~', 'x_y.z') },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'host',
      'Host',
      'content-length',
      'Content-Length',
      'connection',
      'Connection',
      'expect',
      'date',
    ),
  },
  { weight: 1, arbitrary: fc.string({ minLength: 0, maxLength: 14 }) },
)

// Lone characters at every border of what is allowed.
const characters = fc.constantFrom(
  'a',
  ' ',
  '\t',
  '\r',
  '\n',
  '\0',
  '\x1f',
  '\x7f',
  '\x80',
  'ÿ',
  'Ā',
  '字',
  '[',
  ',',
  '5',
)
const texts = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', '', '5', 'close', 'keep-alive, x', 'text/plain', '127.0.0.1', '[::1]') },
  { weight: 1, arbitrary: fc.string({ unit: characters, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
)
const single = fc.oneof(
  { weight: 8, arbitrary: texts },
  { weight: 2, arbitrary: fc.constantFrom<unknown>(5, -1, 1.5, true, false, null, undefined, 10n) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>({}, new Date(0)) },
)
const values = fc.oneof({ weight: 8, arbitrary: single }, { weight: 2, arbitrary: fc.array(single, { maxLength: 3 }) })
const pairs = fc.array(fc.tuple(names, values), { maxLength: 3 })

const headers = fc.oneof(
  { weight: 6, arbitrary: pairs.map((given) => Object.fromEntries(given)) },
  { weight: 3, arbitrary: pairs.map((given) => given.flat(1)) },
  { weight: 2, arbitrary: pairs.map((given) => new Map(given)) },
  { weight: 2, arbitrary: pairs.map((given) => new Set<unknown>(given)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      null,
      undefined,
      'x-a: b',
      7,
      ['x-a'],
      [['x-a', 'b']],
      new Set(['ab']),
      new Set([['x-a']]),
    ),
  },
)

const paths = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('/', '/a/b', '/a?b=c', '/a#b', '//a', 'http://127.0.0.1/a', 'https://x.example/'),
  },
  { weight: 1, arbitrary: fc.string({ unit: characters, maxLength: 4 }).map((rest) => `/${rest}`) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>('', 'a', 'ftp://x/', '*', 7, null, undefined, {}) },
)

const methods = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('GET', 'get', 'POST', 'PUT', 'patch', 'PURGE', 'OPTIONS', 'M-SEARCH') },
  { weight: 1, arbitrary: fc.string({ unit: characters, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(7, null, undefined, {}, 'GET ', 'G\nT') },
)

function* generator() {
  yield 'a'
}

const bodies = fc
  .constantFrom<() => unknown>(
    () => undefined,
    () => null,
    () => '',
    () => 'abc',
    () => Buffer.from('abc'),
    () => new Uint16Array([1, 2]),
    () => new ArrayBuffer(3),
    () => new Blob(['abc']),
    () => new UndiciFormData(),
    () => new FormData(),
    () => generator(),
    () => [Buffer.from('a')],
    () => new Set(['a']),
    () => 7,
    () => 0,
    () => true,
    () => false,
    () => ({}),
    () => ({ a: 1 }),
    () => Symbol('body'),
    () => 7n,
    () => new Date(0),
    () => ({ pipe() {} }),
  )
  .map((make) => make())

const query = fc.constantFrom<unknown>(undefined, undefined, null, {}, { a: 1 }, { a: ['x', 'y'] }, { a: '\ud800' })

const rest = fc.record(
  {
    headersTimeout: fc.constantFrom<unknown>(0, 1e6, -1, Number.NaN, Number.POSITIVE_INFINITY, '5', null),
    bodyTimeout: fc.constantFrom<unknown>(0, 1e6, -1, '5', null),
    reset: fc.constantFrom<unknown>(true, false, null, 1, 'yes'),
    expectContinue: fc.constantFrom<unknown>(false, null, 1, 'yes'),
    typeOfService: fc.constantFrom<unknown>(0, 255, 256, -1, 1.5, '1', null),
    throwOnError: fc.constantFrom<unknown>(true, false, null),
    maxRedirections: fc.constantFrom<unknown>(0, 1, null),
    upgrade: fc.constantFrom<unknown>('', false, null, 7, 'web\nsocket', {}),
    blocking: fc.constantFrom<unknown>(true, false),
    idempotent: fc.constantFrom<unknown>(true, false, null),
  },
  { requiredKeys: [] },
)

// Most are right in most places, so that what is wrong stands alone often enough.
const mostly = <T>(right: T, arbitrary: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant<unknown>(right) }, { weight: 2, arbitrary })

const requests = fc
  .record({
    path: mostly('/', paths),
    method: mostly('GET', methods),
    headers: mostly({ accept: '*/*' }, headers),
    body: mostly(undefined, bodies),
    query: mostly(undefined, query),
    rest: mostly({}, rest),
  })
  .map(({ rest: others, ...request }) => ({ ...request, ...(others as object) }) as Options)

/** Whether undici takes a request, on a connection that is there already: it refuses before it writes. */
class Judge {
  readonly #client: Client
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
    this.#client = new Client(origin)
  }

  async #warm(): Promise<void> {
    if (this.#client.stats.connected) return
    const { body } = await this.#client.request({ path: '/', method: 'GET' })
    await body.dump()
  }

  /** The refusal, or `null`. */
  async refusal(opts: Options): Promise<Error | null> {
    await this.#warm()
    let dispatched = false
    return await new Promise((resolve) => {
      const taken = () => resolve(null)
      this.#client.dispatch({ ...opts, origin: this.#origin }, {
        onRequestStart: taken,
        onResponseStart: taken,
        onResponseData: taken,
        onResponseEnd: taken,
        onRequestUpgrade: taken,
        onResponseError: (_controller, error) => resolve(dispatched ? null : error),
      } as Dispatcher.DispatchHandler)
      dispatched = true
    })
  }

  close(): Promise<void> {
    return this.#client.destroy()
  }
}

describe('the check of a request', () => {
  let server: TestServer
  let judge: Judge
  beforeAll(async () => {
    server = await startServer({ protocol: 'h1c' })
    judge = new Judge(server.origin)
  })
  afterAll(async () => {
    await judge.close()
    await server.close()
  })

  it('21: lets through what undici takes, and nothing else', async () => {
    let refused = 0
    const property = fc.asyncProperty(requests, async (opts) => {
      const own = checkRequest({ ...opts, origin: server.origin }, originOf({ ...opts, origin: server.origin }))
      const theirs = await judge.refusal(opts)
      if (theirs !== null) refused++
      expect(typeof own === 'boolean' ? null : own.message).toEqual(theirs === null ? null : expect.any(String))
    })
    await fc.assert(property, { numRuns: 1500 })
    // So that it tells something about both.
    expect(refused).toBeGreaterThan(300)
    expect(refused).toBeLessThan(1200)
  })
})

/** The end of a call: its status, or its error. */
function endOf(dispatcher: Dispatcher, opts: Options): Promise<number | Error> {
  return new Promise((resolve) => {
    let status = 0
    dispatcher.dispatch(opts, {
      onRequestStart() {},
      onRequestUpgrade: (_controller, upgraded, _headers, socket) => {
        socket.destroy()
        resolve(upgraded)
      },
      onResponseStart: (_controller, given) => {
        status = given
      },
      onResponseData() {},
      onResponseEnd: () => resolve(status),
      onResponseError: (_controller, error) => resolve(error),
    })
  })
}

describe.each(protocols)('a request of any kind, the first on a cold agent, over HTTP/$version', ({ protocol }) => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol })
  })
  afterAll(() => server.close())

  it('21: comes to an end, and harms no later call', async () => {
    const property = fc.asyncProperty(requests, async (opts) => {
      server.clear()
      const chain = compose(createAgent({ connect: { ca: server.ca } }), retry({ backoff: 1 }))
      const { origin } = server
      const isWrong = typeof checkRequest({ ...opts, origin }, origin) !== 'boolean'
      const end = await endOf(chain, { ...opts, origin })
      expect(end instanceof InvalidRequestError).toBe(isWrong)
      if (isWrong) expect(server.requests).toEqual([])
      expect(await endOf(chain, { origin, path: '/good', method: 'GET' })).toBe(200)
      await chain.destroy()
    })
    await fc.assert(property, { numRuns: 150 })
  })
})
