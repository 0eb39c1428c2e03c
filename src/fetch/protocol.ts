import { Response as UndiciResponse } from 'undici'
import { getResponseState } from 'undici/lib/web/fetch/response.js'
import { type Protocol, protocolOfHeaders } from '../dispatchers/protocol.ts'

/**
 * The protocol a response came over: `'2'`, `'1.1'` (any HTTP/1), or `undefined` where it is not known.
 *
 * Takes a `Response` of a fetch made by `createFetch` or `installFetch`, or a clone of one, or what
 * `undici.request` resolves with. After redirects it is the protocol of the last hop. Mocked and cached responses have
 * none; through `undici.request` straight on a MockAgent, with no layer of the kit between, they read as `'1.1'`.
 */
export function protocolOf(response: Response | { readonly headers: unknown }): Protocol | undefined {
  if (response instanceof UndiciResponse) return getResponseState(response).protocol as Protocol | undefined
  return protocolOfHeaders(response.headers)
}
