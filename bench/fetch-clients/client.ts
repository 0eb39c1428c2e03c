// What a client is asked for: each work as one call, which gives how many bytes or characters it has read.

export const works = ['text', 'json', 'stream', 'post', 'large', 'largeStream'] as const
export type Work = (typeof works)[number]

export interface FetchClient {
  readonly calls: Readonly<Record<Work, () => Promise<number>>>
  close(): Promise<unknown>
}

/** Where a client calls. Over TLS it speaks HTTP/2. */
export interface Target {
  readonly origin: string
  readonly ca: string
  readonly secure: boolean
}

/** How many connections a client may have over HTTP/1.1; over HTTP/2 none needs more than one. */
export const connections = 100
/** Longer than a client's turn takes to come again. */
export const keptIdle = 60_000

/** 1 KB. */
export const posted = JSON.stringify({ id: 7, name: 'x'.repeat(1006) })
export const jsonType = { 'content-type': 'application/json' }

export interface User {
  readonly name: string
}

export interface Echo {
  readonly length: number
}

export async function lengthOf(body: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0
  for await (const chunk of body) length += chunk.length
  return length
}

interface BenchResponse {
  readonly body: unknown
  text(): Promise<string>
  json(): Promise<unknown>
  arrayBuffer(): Promise<ArrayBuffer>
}

export interface BenchInit {
  readonly method: 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The works of whatever looks like `fetch`. */
export function fetchCalls(
  origin: string,
  fetch: (url: string, init?: BenchInit) => Promise<BenchResponse>,
): FetchClient['calls'] {
  const stream = async (url: string) => lengthOf((await fetch(url)).body as AsyncIterable<Uint8Array>)
  return {
    text: async () => (await (await fetch(`${origin}/users`)).text()).length,
    json: async () => ((await (await fetch(`${origin}/users`)).json()) as User).name.length,
    stream: () => stream(`${origin}/users`),
    async post() {
      const response = await fetch(`${origin}/users`, { method: 'POST', headers: jsonType, body: posted })
      return ((await response.json()) as Echo).length
    },
    large: async () => (await (await fetch(`${origin}/large`)).arrayBuffer()).byteLength,
    largeStream: () => stream(`${origin}/pieces`),
  }
}
