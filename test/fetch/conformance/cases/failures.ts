import { Agent, type Dispatcher, MockAgent, Headers as UndiciHeaders } from 'undici'
import type { StepOptions } from '../../../../src/testing/index.ts'
import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { drain, errorOf, outcome, settled, whole } from '../observe.ts'

/** A dispatcher of which only `dispatch` is of interest. */
function dispatcherOf(
  dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => boolean,
): Dispatcher {
  return { dispatch, close: async () => {}, destroy: async () => {} } as unknown as Dispatcher
}

const given = new RangeError('given')

const controller = () => ({
  aborted: false,
  paused: false,
  reason: null as Error | null,
  rawHeaders: [Buffer.from('x-a'), Buffer.from('1')],
  rawTrailers: [] as Buffer[],
  abort(reason: Error) {
    this.aborted = true
    this.reason = reason
  },
  pause() {},
  resume() {},
})

/** What a dispatcher of somebody else may do with a call. */
const foreign: Record<string, Dispatcher> = {
  'throws from dispatch': dispatcherOf(() => {
    throw given
  }),
  'throws a string from dispatch': dispatcherOf(() => {
    throw 'a string'
  }),
  'fails at once': dispatcherOf((_, handler) => {
    handler.onResponseError?.(null as never, given)
    return true
  }),
  'fails later': dispatcherOf((_, handler) => {
    setImmediate(() => handler.onResponseError?.(null as never, given))
    return true
  }),
  'starts and fails': dispatcherOf((_, handler) => {
    const one = controller()
    handler.onRequestStart?.(one, {})
    handler.onResponseError?.(one, given)
    return true
  }),
  'answers at once': dispatcherOf((_, handler) => {
    const one = controller()
    handler.onRequestStart?.(one, {})
    handler.onResponseStart?.(one, 200, { 'x-a': '1' }, 'Fine')
    handler.onResponseData?.(one, Buffer.from('data'))
    handler.onResponseEnd?.(one, {})
    return true
  }),
  'answers later': dispatcherOf((_, handler) => {
    const one = controller()
    setImmediate(() => {
      handler.onRequestStart?.(one, {})
      handler.onResponseStart?.(one, 201, { 'x-a': ['1', '2'] }, 'Made')
      setImmediate(() => {
        handler.onResponseData?.(one, Buffer.from('da'))
        handler.onResponseData?.(one, Buffer.from('ta'))
        handler.onResponseEnd?.(one, {})
      })
    })
    return true
  }),
  'breaks off the body': dispatcherOf((_, handler) => {
    const one = controller()
    setImmediate(() => {
      handler.onRequestStart?.(one, {})
      handler.onResponseStart?.(one, 200, {}, 'Fine')
      setImmediate(() => {
        handler.onResponseData?.(one, Buffer.from('da'))
        setImmediate(() => handler.onResponseError?.(one, given))
      })
    })
    return true
  }),
}

async function closed(end: 'close' | 'destroy'): Promise<Dispatcher> {
  const agent = new Agent()
  await agent[end]()
  return agent
}

const faults: Record<string, StepOptions> = {
  'reset before the head': { reset: 'before-head' },
  'reset in the body': { reset: 'in-body' },
  'reset in a body of parts': { reset: 'in-body', body: ['a', 'b'] },
  'cut in the body': { cut: true, body: 'abcdef' },
  'cut in a body of parts': { cut: true, body: ['a', 'b'] },
  'connection lost before the head': { destroySession: 'before-head' },
  'connection lost in the body': { destroySession: 'in-body', body: 'abcdef' },
  refused: { refuse: true },
}

const codes = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL: 3,
  REFUSED: 7,
  CANCEL: 8,
  CONNECT: 10,
  CALM: 11,
  H11: 13,
}

const readings: Record<string, (response: Response) => Promise<unknown>> = {
  text: (response) => response.text(),
  'a stream': (response) => drain(response.body),
  json: (response) => response.json(),
  blob: (response) => response.blob(),
  clone: (response) => {
    const clone = response.clone()
    return Promise.all([settled(response.text()), settled(clone.text())])
  },
}

function faulty(
  fetch: Fetch,
  env: Env,
  step: StepOptions,
  read: (response: Response) => Promise<unknown>,
  init?: object,
) {
  env.on('/a', step)
  return settled(
    fetch(env.url('/a'), init).then(async (response) => [
      response.status,
      await settled(read(response)),
      response.bodyUsed,
      await settled(response.text()),
    ]),
  )
}

const byHand: Case[] = [
  { name: 'nobody listens', retried: true, run: (fetch) => settled(fetch('http://127.0.0.1:9/')) },
  {
    name: 'nobody listens any more',
    retried: true,
    only: 'h1',
    run: async (fetch, env) => {
      const { createServer } = await import('node:net')
      const server = createServer()
      const port = await new Promise<number>((resolve) =>
        server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
      )
      await new Promise((resolve) => server.close(resolve))
      const end = await settled(fetch(`http://127.0.0.1:${port}/`))
      return (
        JSON.parse(JSON.stringify(end).replaceAll(String(port), '{port}')) && [
          env.transport,
          JSON.stringify(end).replaceAll(String(port), '{port}'),
        ]
      )
    },
  },
  {
    name: 'a name that is not found',
    run: async (fetch) => {
      const lookup = (_name: string, _options: object, done: (error: Error) => void) =>
        done(
          Object.assign(new Error('getaddrinfo ENOTFOUND nowhere.test'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }),
        )
      const dispatcher = new Agent({ connect: { lookup: lookup as never } })
      return settled(fetch('http://nowhere.test/', { dispatcher }))
    },
  },
  {
    name: 'a certificate nobody vouches for',
    run: async (fetch, env) => {
      if (!env.secure) return 'cleartext'
      const dispatcher = new Agent({ connect: { rejectUnauthorized: true } })
      const end = await settled(fetch(env.url('/a'), { dispatcher }))
      await dispatcher.destroy()
      return end
    },
  },
  {
    name: 'cleartext to a TLS port',
    retried: true,
    run: async (fetch, env) => {
      if (!env.secure) return 'cleartext'
      return settled(fetch(env.url('/a').replace('https', 'http')).then(({ status }) => status))
    },
  },
  ...each('a dispatcher of init that', foreign, async (dispatcher, fetch) => {
    const call = fetch('http://foreign.test/a', { dispatcher })
    return settled(call.then(whole))
  }),
  ...each('a dispatcher that is', { closed: 'close', destroyed: 'destroy' } as const, async (end, fetch) =>
    settled(fetch('http://127.0.0.1:9/a', { dispatcher: await closed(end) })),
  ),
  {
    name: 'a MockAgent',
    run: async (fetch) => {
      const dispatcher = new MockAgent()
      dispatcher.disableNetConnect()
      const pool = dispatcher.get('http://mocked.test')
      pool
        .intercept({ path: '/a', method: 'GET' })
        .reply(200, { a: 1 }, { headers: { 'content-type': 'application/json' } })
      pool.intercept({ path: '/b', method: 'POST', body: 'text' }).reply(201, 'made')
      pool.intercept({ path: '/c', method: 'GET' }).replyWithError(given)
      const first = await settled(fetch('http://mocked.test/a', { dispatcher }).then((r) => r.json()))
      const second = await outcome(fetch, 'http://mocked.test/b', { method: 'POST', body: 'text', dispatcher })
      const third = await settled(fetch('http://mocked.test/c', { dispatcher }))
      const fourth = await settled(fetch('http://mocked.test/d', { dispatcher }))
      await dispatcher.close()
      return [first, second, third, fourth]
    },
  },
  {
    name: 'a response of its own errors alike twice',
    retried: true,
    run: async (fetch, env) => {
      env.on('/a', { cut: true, body: 'abcdef' })
      const response = await fetch(env.url('/a'))
      const first = await response.text().catch((error) => error)
      const second = await response.text().catch((error) => error)
      return [errorOf(first), errorOf(second), first === second]
    },
  },
  {
    name: 'nobody reads a body that breaks',
    retried: true,
    run: async (fetch, env) => {
      env.on('/a', { cut: true, body: ['a'] })
      const response = await fetch(env.url('/a'))
      const { status } = response
      await Promise.all(env.received.map((request) => request.closed))
      await new Promise(setImmediate)
      return [status, response.bodyUsed]
    },
  },
  {
    name: 'nobody looks at a call that fails',
    retried: true,
    run: async (fetch) => {
      const call = fetch('http://127.0.0.1:9/')
      call.catch(() => {})
      return settled(call)
    },
  },
  {
    name: 'headers of a failed call are its caller’s still',
    run: async (fetch) => {
      const headers = new UndiciHeaders({ a: 'b' })
      const end = await settled(fetch('http://', { headers }))
      return [end, [...headers]]
    },
  },
]

export const failures = area(
  'failures',
  ...Object.entries(readings).map(([name, read]) =>
    each(`read by ${name},`, faults, (step, fetch, env) => faulty(fetch, env, step, read), { retried: true }),
  ),
  each('POST,', faults, (step, fetch, env) =>
    faulty(fetch, env, step, (response) => response.text(), { method: 'POST', body: 'text' }),
  ),
  each('POST of a stream,', faults, (step, fetch, env) =>
    faulty(fetch, env, step, (response) => response.text(), {
      method: 'POST',
      body: new Blob(['x']).stream(),
      duplex: 'half',
    }),
  ),
  each(
    'RST_STREAM before the head,',
    codes,
    (resetCode, fetch, env) => faulty(fetch, env, { reset: 'before-head', resetCode }, (response) => response.text()),
    { only: 'h2', retried: true },
  ),
  each(
    'RST_STREAM in the body,',
    codes,
    (resetCode, fetch, env) =>
      faulty(fetch, env, { reset: 'in-body', resetCode, body: 'abcdef' }, (response) => response.text()),
    { only: 'h2', retried: true },
  ),
  byHand,
)
