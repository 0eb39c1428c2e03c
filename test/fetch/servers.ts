import { Agent, Dispatcher } from 'undici'
import { onTestFinished } from 'vitest'
import { type ServerOptions, startServer, type TestServer } from '../../src/testing/index.ts'

/** Both protocols, as the test server and `protocolOf` name them. */
export const protocols = [
  { protocol: 'h1', version: '1.1' },
  { protocol: 'h2', version: '2' },
] as const

/** A server and an agent that trusts it, both closed with the test. */
export async function serve(options: ServerOptions): Promise<{ server: TestServer; agent: Agent }> {
  const server = await startServer(options)
  const agent = new Agent({ connect: { ca: server.ca } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { server, agent }
}

/** Passes everything on, and keeps what it was given. */
export class RecordingDispatcher extends Dispatcher {
  readonly seen: Dispatcher.DispatchOptions[] = []
  readonly #inner: Dispatcher

  constructor(inner: Dispatcher) {
    super()
    this.#inner = inner
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.seen.push(options)
    return this.#inner.dispatch(options, handler)
  }
}
