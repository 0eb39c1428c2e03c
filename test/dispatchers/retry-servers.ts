import {
  type CallOptions,
  type ChainDispatcher,
  compose,
  createAgent,
  createFetch,
  type Layers,
  type RetryOptions,
} from 'roundtripper'
import { type Protocol, type Script, type ServerOptions, startServer, type TestServer } from 'roundtripper/testing'
import { type Dispatcher, request } from 'undici'
import { onTestFinished, vi } from 'vitest'

/** Both versions, as the test server names them and as a request tells them. */
export const protocols = [
  { protocol: 'h1', version: '1.1' },
  { protocol: 'h2', version: '2' },
] as const

/** Waits that a test can afford. */
export const quick: RetryOptions = { backoff: 1 }

/** A server that is closed with the test. */
export async function serve(options: ServerOptions): Promise<TestServer> {
  const server = await startServer(options)
  onTestFinished(() => server.close())
  return server
}

/** Servers that say which of them they are, closed with the test; `others`: what else they answer, by path. */
export async function serveMany(
  count: number,
  protocol: Protocol,
  others: { readonly [path: `/${string}`]: Script } = {},
): Promise<TestServer[]> {
  const servers: TestServer[] = []
  for (let at = 0; at < count; at++) {
    servers.push(await serve({ protocol, respond: { '*': { body: `host ${at}` }, ...others } }))
  }
  return servers
}

/** A chain that trusts the server, destroyed with the test. */
export function chainTo(server: { readonly ca?: string | undefined }, ...layers: Layers[]): ChainDispatcher {
  const agent = createAgent(server.ca === undefined ? {} : { connect: { ca: server.ca } })
  const chain = compose(agent, ...layers)
  onTestFinished(() => chain.destroy())
  return chain
}

/** The same with its connection made, so that what follows takes no longer than its answer. The requests are forgotten. */
export async function warmChainTo(server: TestServer, ...layers: Layers[]): Promise<ChainDispatcher> {
  const ground = chainTo(server)
  await call(ground, server.url('/warm'))
  server.clear()
  return compose(ground, ...layers)
}

/**
 * Stops the clock of this process: what the servers send still comes in, but nothing is late before the test says so.
 */
export function stopClock(): { advance(milliseconds: number): Promise<void> } {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  return {
    async advance(milliseconds) {
      await vi.advanceTimersByTimeAsync(milliseconds)
      await turns()
    },
  }
}

/** What undici's types leave out: bodies that the kit takes, and what a caller may say of one call. */
export type CallInit = Omit<Partial<Dispatcher.RequestOptions>, 'body' | 'dispatcher'> & {
  readonly body?: unknown
  readonly idempotent?: boolean
  readonly resilience?: CallOptions
}

/** Sends a request; the body of the answer is still to be read. */
export function send(dispatcher: Dispatcher, url: string, init: CallInit = {}): Promise<Dispatcher.ResponseData> {
  return request(url, { ...init, dispatcher } as unknown as { dispatcher: Dispatcher; opaque: null })
}

export interface Answer {
  readonly status: number
  readonly text: string
}

/** Sends a request and reads the answer to its end. */
export async function call(dispatcher: Dispatcher, url: string, init: CallInit = {}): Promise<Answer> {
  const { statusCode, body } = await send(dispatcher, url, init)
  return { status: statusCode, text: await body.text() }
}

/** The same through `createFetch`. */
export async function callByFetch(dispatcher: Dispatcher, url: string, init: CallInit = {}): Promise<Answer> {
  const response = await createFetch(dispatcher)(url, { duplex: 'half', ...init } as RequestInit)
  return { status: response.status, text: await response.text() }
}

/** The error a promise is rejected with. */
export async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('the promise was not rejected')
}

/** Lets everything that is ready happen, without waiting for time to pass. */
export async function turns(count = 10): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for what no event tells of, such as bytes that arrive. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1)
}
