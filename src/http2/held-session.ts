import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'

// A stream that ends in the middle of a block of headers still holds what was read of it, and node (22 to 26) counts that
// with the session. Where garbage collection takes the session before such a stream, the process is aborted by an assertion
// (`current_nghttp2_memory_ == 0`). A connection that breaks within a head is enough for it. So the native part of a session is
// held until those of its streams that did not end well are gone.

let symbol: symbol | undefined

/** The native part of a session or stream, as long as it has one. */
export function nativeOf(owner: ClientHttp2Session | ClientHttp2Stream): object | undefined {
  symbol ??= Object.getOwnPropertySymbols(owner).find(({ description }) => description === 'kHandle')
  return symbol === undefined
    ? undefined
    : ((owner as unknown as Record<symbol, object | undefined>)[symbol] ?? undefined)
}

const held = new FinalizationRegistry<object>(() => {})

/** Holds `session` until `stream` has been collected. */
export function holdUntilGone(session: object | undefined, stream: object | undefined): void {
  if (session !== undefined && stream !== undefined) held.register(stream, session)
}
