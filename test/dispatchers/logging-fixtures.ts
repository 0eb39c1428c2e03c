// A real pino whose lines stay in memory.
import { pino } from 'pino'
import { compose, type Layers, logging } from 'roundtripper'
import { type Dispatcher, request } from 'undici'

/** A record as pino wrote it. */
export type Line = Readonly<Record<string, unknown>> & { readonly level: number; readonly msg: string }

export const levels = { debug: 20, info: 30, warn: 40 } as const

/** A pino of a level, and what it has written. */
export function memoryPino(level = 'debug') {
  const lines: Line[] = []
  const write = (line: string) => lines.push(JSON.parse(line) as Line)
  return { lines, logger: pino({ level, base: null, timestamp: false }, { write }) }
}

/** A chain that logs to a pino, and what that has written. */
export function loggedChain(dispatcher: Dispatcher, level: string, ...layers: Layers[]) {
  const { lines, logger } = memoryPino(level)
  return { lines, chain: compose(dispatcher, logging({ logger }), ...layers) }
}

type CallOptions = Partial<Dispatcher.RequestOptions> & { resilience?: object }

/** Sends a request, without reading the answer. */
export function send(
  dispatcher: Dispatcher,
  url: string,
  options: CallOptions = {},
): Promise<Dispatcher.ResponseData<unknown>> {
  return request(url, { ...options, dispatcher } as Parameters<typeof request>[1])
}

/** Sends a request and reads the answer to its end. */
export async function call(dispatcher: Dispatcher, url: string, options: CallOptions = {}): Promise<number> {
  const { statusCode, body } = await send(dispatcher, url, options)
  await body.text()
  return statusCode
}
