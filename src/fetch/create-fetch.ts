import { type Dispatcher, type RequestInfo, type RequestInit, fetch as undiciFetch } from 'undici'
import type { CallOptions } from '../dispatchers/exchange.ts'
import { fetchArguments } from './arguments.ts'
import { CallDispatcher } from './call-dispatcher.ts'
import { noteProtocol } from './protocol.ts'

/** Returns `dispatcher`, or throws a `TypeError` that names who was given what. */
export function checkDispatcher(name: string, dispatcher: unknown): Dispatcher {
  if (typeof (dispatcher as Dispatcher | undefined)?.dispatch === 'function') return dispatcher as Dispatcher
  const given = dispatcher === null ? 'null' : typeof dispatcher
  throw new TypeError(`${name} must be a Dispatcher (an object with a dispatch method), got ${given}`)
}

/** The standard `fetch`, with what the kit takes besides in a call's `init`; other fetches ignore it. */
export type KitFetch = (input: string | URL | globalThis.Request, init?: KitRequestInit) => Promise<Response>

/** `RequestInit` with the kit's own options. */
export interface KitRequestInit extends globalThis.RequestInit {
  /** Takes the place of the dispatcher that fetch is bound to. */
  readonly dispatcher?: Dispatcher
  /** What the chain is to know of this call. */
  readonly resilience?: CallOptions
}

/**
 * Makes a standard `fetch` whose calls leave through `dispatcher`.
 *
 * It is undici's fetch, with these differences:
 *
 * - A body that is known as bytes (a string, an ArrayBuffer or a view of one, URLSearchParams, a FormData given to fetch
 *   itself, a Blob of up to 1 MiB) reaches the dispatcher as such, not as a one-shot stream, so that it can be sent
 *   again whole.
 * - Node's own FormData, Request and Headers are understood like undici's. What a Request of Node's own carries as body
 *   is a stream to us: it can be sent once.
 * - `protocolOf(response)` tells the negotiated protocol.
 * - `resilience` in a call's `init` tells the chain what it should know of the call, such as `idempotent`.
 *
 * A `dispatcher` in a call's `init` wins over the bound one. (One given to `new Request` cannot be seen.)
 *
 * Rejects as undici does: `TypeError: fetch failed` with the reason as `cause` before a head, the signal's reason after
 * an abort; a body that breaks later fails with `TypeError: terminated`. Statuses are no errors.
 *
 * @throws TypeError if `dispatcher` is none.
 */
export function createFetch(dispatcher: Dispatcher): KitFetch {
  const bound = checkDispatcher('createFetch: dispatcher', dispatcher)

  return async function fetch(givenInput: unknown, givenInit: unknown = undefined): Promise<Response> {
    if (givenInit !== null && !['undefined', 'object', 'function'].includes(typeof givenInit)) {
      // Never valid: undici rejects with the error that the standard asks for.
      return (await undiciFetch(givenInput as RequestInfo, givenInit as RequestInit)) as unknown as Response
    }
    const { input, init, dispatcher: own, form } = fetchArguments(givenInput, givenInit as object | null | undefined)
    const { resilience } = (givenInit ?? {}) as KitRequestInit
    const call = new CallDispatcher(own ? checkDispatcher('fetch: init.dispatcher', own) : bound, form, resilience)
    const response = await undiciFetch(input, { ...init, dispatcher: call as unknown as Dispatcher })
    noteProtocol(response, call.protocol)
    return response as unknown as Response
  }
}
