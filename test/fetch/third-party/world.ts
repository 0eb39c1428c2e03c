// What the cases of this folder run in. They know nothing of vitest, so that a child process can run them on another Node.
import assert from 'node:assert/strict'
import type { Dispatcher } from 'undici'
import { type AgentOptions, createAgent } from '../../../src/dispatchers/agent.ts'
import { compose } from '../../../src/dispatchers/compose.ts'
import { createFetch } from '../../../src/fetch/create-fetch.ts'
import { delegatedCalls } from '../../../src/fetch/delegated.ts'
import { installFetch } from '../../../src/fetch/install-fetch.ts'
import { standard } from '../../../src/standard.ts'
import {
  devCertificate,
  type RecordedRequest,
  type ServerOptions,
  startServer,
  type TestServer,
} from '../../../src/testing/index.ts'

/** How a library comes by our fetch: by the globals, or because it is given one (beside Node's own classes). */
const ways = ['installFetch', 'createFetch'] as const
const protocols = ['h1', 'h2'] as const

type Way = (typeof ways)[number]

export interface World {
  readonly protocol: (typeof protocols)[number]
  /** As `protocolOf` and the server name it. */
  readonly version: '1.1' | '2'
  readonly isInstalled: boolean
  readonly ca: string
  /** Ours. While it is installed it is the global one as well. */
  readonly fetch: typeof globalThis.fetch
  /** For the options of a library that takes a fetch: nothing where it has to find the global one. */
  readonly options: { readonly fetch?: typeof globalThis.fetch }
  serve(respond: ServerOptions['respond']): Promise<TestServer>
  /** Run when the case is over, the last one first. */
  onEnd(clean: () => unknown): void
}

export interface Case {
  readonly name: string
  /** It installs a fetch itself, in an order of its own. */
  readonly installs?: boolean
  readonly run: (world: World) => Promise<void>
  /**
   * How many of its calls are left to undici's fetch.
   * @default none
   */
  readonly delegated?: (world: World) => number
}

/** A case in one of the ways, over one protocol. */
export interface Turn {
  readonly title: string
  play(): Promise<void>
}

/** Each case in all ways over both protocols. */
export function turnsOf(cases: readonly Case[]): readonly Turn[] {
  return protocols.flatMap((protocol) =>
    cases.flatMap((taken) =>
      (taken.installs ? (['createFetch'] as const) : ways).map((way) => ({
        title: `${taken.name} (${protocol}${taken.installs ? '' : `, ${way}`})`,
        play: () => play(taken, protocol, way),
      })),
    ),
  )
}

/** Runs a case over the standard chain, without its retry: the libraries have their own, and it should be seen. */
async function play({ run, delegated }: Case, protocol: World['protocol'], way: Way): Promise<void> {
  const { ca } = await devCertificate()
  const dispatcher = compose(createAgent({ connect: { ca }, proxy: false }), standard({ retry: false }))
  const cleaning: (() => unknown)[] = [() => dispatcher.destroy()]
  const own = globalThis.fetch
  const isInstalled = way === 'installFetch'
  if (isInstalled) cleaning.push(installFetch(dispatcher))
  const fetch = isInstalled ? globalThis.fetch : (createFetch(dispatcher) as typeof globalThis.fetch)
  const world: World = {
    protocol,
    version: protocol === 'h1' ? '1.1' : '2',
    isInstalled,
    ca,
    fetch,
    options: isInstalled ? {} : { fetch },
    async serve(respond) {
      const server = await startServer({ protocol, respond: respond ?? 200 })
      cleaning.push(() => server.close())
      return server
    },
    onEnd: (clean) => cleaning.push(clean),
  }
  const before = delegatedCalls()
  try {
    await run(world)
    assert.equal(delegatedCalls() - before, delegated?.(world) ?? 0)
  } finally {
    for (const clean of cleaning.reverse()) await clean()
  }
  assert.equal(globalThis.fetch, own)
}

/** The one request that came, whole, in the protocol of this world. */
export async function only(server: TestServer, { version }: World): Promise<RecordedRequest> {
  assert.equal(server.requests.length, 1)
  const request = server.requests[0]!
  await request.received
  assert.equal(request.complete, true)
  assert.equal(request.protocol, version)
  return request
}

/** What a call fails with. */
export function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => assert.fail('it did not fail'),
    (error: Error) => error,
  )
}

/** An agent that trusts the servers, closed with the case. */
export function agentOf({ ca, onEnd }: World, options: AgentOptions = {}): Dispatcher {
  const agent = createAgent({ connect: { ca }, proxy: false, ...options })
  onEnd(() => agent.destroy())
  return agent
}
