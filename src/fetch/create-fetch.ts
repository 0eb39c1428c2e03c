import type { Dispatcher, Response as UndiciResponse } from 'undici'
import type { CallOptions } from '../dispatchers/exchange.ts'
import { delegate, delegateInvalid } from './delegated.ts'
import { FetchHop } from './fetch-hop.ts'
import { type FetchRequest, readMembers, readRequest } from './request.ts'

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
 * It does what undici's fetch does, straight on `dispatch`, at a fraction of the cost; its responses are undici's
 * `Response`. The differences:
 *
 * - A body that is known as bytes (a string, an ArrayBuffer or a view of one, URLSearchParams, a Blob, a FormData) reaches
 *   the dispatcher as such, not as a one-shot stream, so that it can be sent again whole.
 * - Node's own FormData, Request and Headers are understood like undici's. What a Request of Node's own carries as body
 *   is a stream to us: it can be sent once.
 * - `protocolOf(response)` tells the negotiated protocol.
 * - `resilience` in a call's `init` tells the chain what it should know of the call, such as `idempotent`.
 * - No resource timing entries are made.
 *
 * What is rare is left to undici's own fetch: `data:`, `blob:` and `about:` URLs, `integrity`, and arguments that are
 * refused before anything is sent; see `delegatedCalls()`.
 *
 * A `dispatcher` in a call's `init` wins over that of its Request, and that over the bound one.
 *
 * Rejects as undici does: `TypeError: fetch failed` with the reason as `cause` before a head, the signal's reason after
 * an abort; a body that breaks later fails with `TypeError: terminated`. Statuses are no errors.
 *
 * @throws TypeError if `dispatcher` is none.
 */
export function createFetch(dispatcher: Dispatcher): KitFetch {
  const bound = checkDispatcher('createFetch: dispatcher', dispatcher)

  async function fetch(input: unknown, init: unknown = undefined): Promise<Response> {
    if (init !== null && init !== undefined && typeof init !== 'object' && typeof init !== 'function') {
      return delegateInvalid(input, init)
    }
    const given = readMembers(init)
    const { resilience } = (init ?? {}) as KitRequestInit
    const own = given.dispatcher ? checkDispatcher('fetch: init.dispatcher', given.dispatcher) : undefined
    const request = readRequest(input, given)
    if (request === null) return delegate(input, given, own ?? bound, resilience)
    request.resilience = resilience
    try {
      return (await send(request, own ?? request.dispatcher ?? bound)) as unknown as Response
    } catch (error) {
      // So that its stack leads to whoever called fetch, and not to a callback of the transport. The reason of an abort is the
      // caller's own, and may be the error of an earlier call.
      if (error instanceof TypeError && error.message === 'fetch failed' && error !== request.signal?.reason) {
        Error.captureStackTrace(error)
      }
      throw error
    }
  }

  // Libraries ask a fetch for its classes, to find out whether it understands those that are global (openai's SDK before an
  // upload): it does, whichever they are.
  Object.defineProperty(fetch, 'Response', { configurable: true, get: () => globalThis.Response })
  return fetch
}

function send(request: FetchRequest, dispatcher: Dispatcher): Promise<UndiciResponse> {
  return new Promise((resolve, reject) => {
    const hop = new FetchHop(request, dispatcher, resolve, reject)
    hop.listen()
    hop.send()
  })
}
