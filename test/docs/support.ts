import { type ServerOptions, startServer, type TestServer } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { onTestFinished } from 'vitest'

/** A server in cleartext, closed with the test. */
export async function serve(respond: Required<ServerOptions>['respond']): Promise<TestServer> {
  const server = await startServer({ protocol: 'h1c', respond })
  onTestFinished(() => server.close())
  return server
}

/** The same dispatcher, destroyed with the test. */
export function destroyed<T extends Dispatcher>(dispatcher: T): T {
  onTestFinished(() => dispatcher.destroy())
  return dispatcher
}
