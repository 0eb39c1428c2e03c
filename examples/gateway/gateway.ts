import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { type ChainDispatcher, contextHeaderNames, isShed, withContext } from 'roundtripper'
import { type Dispatcher, request } from 'undici'

// What belongs to one connection stays on it (RFC 9110 §7.6.1), as does an `expect`, which this server has answered.
const perConnection = new Set([
  'connection',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

function withoutConnection(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[] | undefined> {
  const named = new Set(
    String(headers.connection ?? '')
      .toLowerCase()
      .split(/[\s,]+/),
  )
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !perConnection.has(name) && !named.has(name)))
}

// What is known of the request is written anew by contextHeaders(): with the time that is left by then, and without what a
// client may not choose. (So it should be with `x-canary`, where clients may not choose their version.)
const contextNames = new Set([...Object.values(contextHeaderNames), 'traceparent', 'tracestate', 'baggage'])

function withoutContext(headers: NodeJS.Dict<string | string[]>): NodeJS.Dict<string | string[]> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !contextNames.has(name)))
}

/** The status that tells a caller what went wrong behind the gateway. */
export function statusOf(error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown }
  if (code === 'ERR_NO_ROUTE') return 404
  if (code === 'ERR_DEADLINE_EXCEEDED' || code === 'ERR_ATTEMPT_TIMEOUT') return 504
  return isShed(error) ? 503 : 502
}

async function passOn(chain: ChainDispatcher, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/', headers } = incoming
  const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const answer = await request(`http://gateway${url}`, {
      dispatcher: chain,
      method: method as Dispatcher.HttpMethod,
      headers: withoutConnection(withoutContext(headers)),
      body: hasBody ? incoming : null,
      signal: gone.signal,
    })
    response.writeHead(answer.statusCode, withoutConnection(answer.headers))
    await pipeline(answer.body, response)
  } catch (error) {
    if (response.headersSent) response.destroy()
    else
      response
        .writeHead(statusOf(error), { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: String(error) }))
  }
}

/** An HTTP/1.1 server that hands each request on through a chain. */
export function gatewayServer(chain: ChainDispatcher): Server {
  return createServer(withContext((incoming, response) => void passOn(chain, incoming, response)))
}
