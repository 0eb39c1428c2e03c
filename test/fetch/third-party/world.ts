// What the cases of this folder run in. They know nothing of vitest, so that a child process can run them on another Node.
import assert from 'node:assert/strict'
import { createAgent } from '../../../src/dispatchers/agent.ts'
import { compose } from '../../../src/dispatchers/compose.ts'
import { createFetch } from '../../../src/fetch/create-fetch.ts'
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
export const ways = ['installFetch', 'createFetch'] as const
export const protocols = ['h1', 'h2'] as const

export type Way = (typeof ways)[number]

export interface World {
  readonly protocol: (typeof protocols)[number]
  /** As `protocolOf` and the server name it. */
  readonly version: '1.1' | '2'
  readonly isInstalled: boolean
  /** Ours. While it is installed it is the global one as well. */
  readonly fetch: typeof globalThis.fetch
  /** For the options of a library that takes a fetch: nothing where it has to find the global one. */
  readonly options: { readonly fetch?: typeof globalThis.fetch }
  /** Takes off what `installFetch` put on, before the end of the case. */
  readonly uninstall: () => void
  serve(respond: ServerOptions['respond']): Promise<TestServer>
  /** Run when the case is over, the last one first. */
  onEnd(clean: () => unknown): void
}

export interface Case {
  readonly name: string
  readonly run: (world: World) => Promise<void>
}

/** Runs a case over the standard chain, without its retry: the libraries have their own, and it should be seen. */
export async function play({ run }: Case, protocol: World['protocol'], way: Way): Promise<void> {
  const { ca } = await devCertificate()
  const dispatcher = compose(createAgent({ connect: { ca }, proxy: false }), standard({ retry: false }))
  const cleaning: (() => unknown)[] = [() => dispatcher.destroy()]
  const own = globalThis.fetch
  const isInstalled = way === 'installFetch'
  const uninstall = isInstalled ? installFetch(dispatcher) : () => undefined
  cleaning.push(uninstall)
  const fetch = isInstalled ? globalThis.fetch : (createFetch(dispatcher) as typeof globalThis.fetch)
  try {
    await run({
      protocol,
      version: protocol === 'h1' ? '1.1' : '2',
      isInstalled,
      fetch,
      options: isInstalled ? {} : { fetch },
      uninstall,
      async serve(respond) {
        const server = await startServer({ protocol, respond: respond ?? 200 })
        cleaning.push(() => server.close())
        return server
      },
      onEnd: (clean) => cleaning.push(clean),
    })
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
