import { type Protocol, type ServerOptions, startServer, type TestServer } from 'roundtripper/testing'
import { Agent, type Dispatcher, request } from 'undici'
import { onTestFinished } from 'vitest'

/** Every way a server speaks, and the version a caller then gets. */
export const wires = [
  { protocol: 'h1', version: '1.1' },
  { protocol: 'h2', version: '2' },
  { protocol: 'both', version: '2' },
  { protocol: 'h1c', version: '1.1' },
  { protocol: 'h2c', version: '2' },
] as const satisfies { protocol: Protocol; version: string }[]

/** One of each version: for what does not depend on TLS. */
export const versions = wires.filter(({ protocol }) => protocol === 'h1' || protocol === 'h2')

/** A server and an agent that are closed with the test. */
export async function startPair(options: ServerOptions = {}): Promise<{ server: TestServer; agent: Agent }> {
  const server = await startServer(options)
  const agent = agentFor(server, options.protocol)
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { server, agent }
}

/** An agent that trusts the server; `useH2c` is not among the types of its options. */
export function agentFor(server: TestServer, protocol?: Protocol): Agent {
  const options: Agent.Options & { useH2c?: boolean } = protocol === 'h2c' ? { useH2c: true } : { allowH2: true }
  if (server.ca !== undefined) options.connect = { ca: server.ca }
  return new Agent(options)
}

export interface Seen {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly trailers: Record<string, string>
  readonly text: string
}

/** Sends a request and reads the answer to its end. */
export async function call(
  dispatcher: Dispatcher,
  url: string,
  options: Partial<Dispatcher.RequestOptions> = {},
): Promise<Seen> {
  const response = await request(url, { ...options, dispatcher } as Parameters<typeof request>[1])
  const text = await response.body.text()
  return {
    status: response.statusCode,
    headers: response.headers,
    trailers: response.trailers as Record<string, string>,
    text,
  }
}
