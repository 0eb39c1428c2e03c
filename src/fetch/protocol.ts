import { type Protocol, protocolOfHeaders } from '../dispatchers/protocol.ts'

const protocols = new WeakMap<object, Protocol>()

/** Notes what the last hop of a call spoke. */
export function noteProtocol(response: object, protocol: Protocol | undefined): void {
  if (protocol !== undefined) protocols.set(response, protocol)
}

/**
 * The protocol a response came over: `'2'`, `'1.1'` (any HTTP/1), or `undefined` where it is not known.
 *
 * Takes a `Response` of a fetch made by `createFetch` or `installFetch` (not a `clone()` of one), or what
 * `undici.request` resolves with. After redirects it is the protocol of the last hop. Mocked and cached responses have
 * none; through `undici.request` straight on a MockAgent, with no layer of the kit between, they read as `'1.1'`.
 */
export function protocolOf(response: Response | { readonly headers: unknown }): Protocol | undefined {
  return protocols.get(response) ?? protocolOfHeaders(response.headers)
}
