import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Dispatcher } from 'undici'
import type { ScopedOptions } from './exchange.ts'
import { eachHeader, replaceHeaders } from './headers.ts'
import { peerOf } from './peers.ts'
import { connectionHeaders } from './validate.ts'

// `te`, `proxy-connection` or `http2-settings` on one request makes undici kill the HTTP/2 session with all its streams.
// They are legal in HTTP/1.1, and which of the two it will be is known only once connected. So the request goes out
// without them, and they are added when undici is about to write its head, if the connection then speaks HTTP/1.1.

interface PendingRequest {
  addHeader(name: string, value: string): unknown
}

// undici refuses these three in HTTP/1.1 too: it frames bodies and keeps connections itself, and upgrades have an
// option of their own.
const neverSent: ReadonlySet<string> = new Set(['keep-alive', 'transfer-encoding', 'upgrade'])

// As undici writes them.
function fieldValue(value: unknown): string {
  return Array.isArray(value) ? value.map(fieldValue).join(', ') : `${value ?? ''}`
}

function isTrailersOnly(name: string, value: unknown): boolean {
  return name === 'te' && fieldValue(value).trim().toLowerCase() === 'trailers'
}

const taken = Symbol('taken headers')

/** What {@link TakenHeaders} took out of a request is put back. */
export function putBackHeaders(opts: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  return (opts as { [taken]?: TakenHeaders })[taken]?.putBack(opts) ?? opts
}

/** Headers of one HTTP/1.1 connection that were taken out of a request. */
export class TakenHeaders {
  readonly #origin: string
  readonly #taken: [string, string][] = []
  #request: PendingRequest | null = null

  constructor(origin: string) {
    this.#origin = origin
  }

  /** The options without the headers. */
  takeFrom(opts: ScopedOptions): ScopedOptions {
    const kept: Record<string, string> = {}
    eachHeader(opts.headers, (name, value) => {
      const lower = name.toLowerCase()
      if (!connectionHeaders.has(lower)) return
      if (isTrailersOnly(lower, value)) kept[lower] = 'trailers'
      else if (!neverSent.has(lower)) this.#taken.push([name, fieldValue(value)])
    })
    const taking: ScopedOptions & { [taken]?: TakenHeaders } = {
      ...opts,
      headers: replaceHeaders(opts.headers, connectionHeaders, kept),
    }
    if (this.#taken.length > 0) taking[taken] = this
    return taking
  }

  /** The options with the headers, for a dispatcher that knows it speaks HTTP/1.1. */
  putBack(opts: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
    const headers: string[] = []
    eachHeader(opts.headers, (name, value) => headers.push(name, value as string))
    for (const [name, value] of this.#taken) headers.push(name, value)
    return { ...opts, headers }
  }

  /** Dispatches, and keeps hold of the request that undici makes of it: it is announced synchronously. */
  dispatch(dispatch: Dispatcher['dispatch'], opts: ScopedOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (this.#taken.length === 0) return dispatch(opts, handler)
    const onCreate = (message: unknown) => {
      this.#request = (message as { request: PendingRequest }).request
    }
    subscribe('undici:request:create', onCreate)
    try {
      return dispatch(opts, handler)
    } finally {
      unsubscribe('undici:request:create', onCreate)
    }
  }

  /** The request is about to be written: puts the headers back where the connection speaks HTTP/1.1. */
  restore(): void {
    const alpn = peerOf(this.#origin)?.alpn
    // Of an agent that is not createAgent's nothing is known: cleartext is HTTP/1.1, TLS may be either.
    const http1 = alpn === undefined ? this.#origin.startsWith('http:') : alpn !== 'h2'
    if (!http1 || this.#request === null) return
    for (const [name, value] of this.#taken) this.#request.addHeader(name, value)
    this.#request = null
  }
}
