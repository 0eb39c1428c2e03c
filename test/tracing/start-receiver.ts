// A collector for tests: takes OTLP over HTTP on a free port of 127.0.0.1.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A span as it came in. */
export interface ReceivedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly kind: number
  readonly attributes: Readonly<Record<string, unknown>>
}

/** One export request. */
export interface ReceivedExport {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Of the resource; empty where the body is not JSON. */
  readonly resource: Readonly<Record<string, unknown>>
  readonly spans: readonly ReceivedSpan[]
}

export interface Receiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string
  readonly exports: readonly ReceivedExport[]
  /** Of all exports so far. */
  spans(): ReceivedSpan[]
  /** Resolves when a request has come in, answered or not. */
  readonly reached: Promise<void>
  /** Answers what was held back, and from now on at once. */
  release(): void
  close(): Promise<void>
}

interface Keyed {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

const recordOf = (attributes: readonly Keyed[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

interface WireSpan extends Omit<ReceivedSpan, 'attributes'> {
  readonly attributes?: readonly Keyed[]
}

interface Wire {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly Keyed[] }
    readonly scopeSpans?: readonly { readonly spans?: readonly WireSpan[] }[]
  }[]
}

function decode(body: Buffer): Pick<ReceivedExport, 'resource' | 'spans'> {
  const { resourceSpans = [] } = JSON.parse(body.toString()) as Wire
  const spans = resourceSpans.flatMap(({ scopeSpans = [] }) => scopeSpans.flatMap((scope) => scope.spans ?? []))
  return {
    resource: recordOf(resourceSpans[0]?.resource?.attributes),
    spans: spans.map((span) => ({ ...span, attributes: recordOf(span.attributes) })),
  }
}

/** Answers with `status`; with `hold`, only after `release()`. */
export async function startReceiver({ status = 200, hold = false } = {}): Promise<Receiver> {
  const exports: ReceivedExport[] = []
  const released = event()
  if (!hold) released.happen()
  const reached = event()
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const json = request.headers['content-type'] === 'application/json'
    exports.push({
      path: request.url ?? '',
      headers: request.headers,
      body,
      ...(json ? decode(body) : { resource: {}, spans: [] }),
    })
    reached.happen()
    await released.happened
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
  })
  const port = await listen(server)
  return {
    endpoint: `http://127.0.0.1:${port}`,
    exports,
    spans: () => exports.flatMap((each) => each.spans),
    reached: reached.happened,
    release: released.happen,
    close: () => closeServer(server),
  }
}

/** Something that happens once, and can be waited for. */
export function event(): { readonly happened: Promise<void>; happen(): void } {
  let happen = () => {}
  const happened = new Promise<void>((resolve) => {
    happen = resolve
  })
  return { happened, happen }
}

/** The port on 127.0.0.1 that the server was given. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
}

/** A URL on which nothing listens: the port is reserved for a service that no longer exists. */
export const deadEndpoint = 'http://127.0.0.1:1'
