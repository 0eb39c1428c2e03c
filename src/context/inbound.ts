import { checkFunction, checkOptions } from '../policies/options.ts'
import {
  type ContextField,
  type ContextHeaderNames,
  checkFields,
  checkHeaderNames,
  type ReceivedHeaders,
  readContext,
  type Trusted,
} from './headers.ts'
import { type RequestContext, runWithContext } from './request-context.ts'

/** Options of {@link contextOf}, {@link withContext} and {@link contextHook}. */
export interface InboundOptions {
  /**
   * What is taken from the headers of a request. A client must not choose its tenant, its priority, or what is written
   * into baggage: ask for those only where whoever sends is one of your own.
   * @default ['requestId', 'trace', 'deadline']
   */
  readonly trust?: readonly ContextField[] | undefined
  /**
   * Names of the headers.
   * @default contextHeaderNames
   */
  readonly names?: Partial<ContextHeaderNames> | undefined
}

const trustedByDefault: readonly ContextField[] = ['requestId', 'trace', 'deadline']

function trustedBy(factory: string, options: InboundOptions): Trusted {
  checkOptions(factory, options, ['trust', 'names'])
  return {
    fields: checkFields(`${factory}: trust`, options.trust, trustedByDefault),
    names: checkHeaderNames(`${factory}: names`, options.names),
  }
}

/**
 * The context that the headers of a request give, for {@link runWithContext}. A request id is made where none came. What
 * is not trusted, or not valid, is left out without a word.
 *
 * @param headers names in lower case, as Node's servers have them
 * @throws TypeError for options that are wrong; never for headers.
 */
export function contextOf(headers: ReceivedHeaders, options: InboundOptions = {}): RequestContext {
  return readContext(headers, trustedBy('contextOf', options))
}

/** A request of node:http, node:http2's compatibility API, Fastify or Express. */
export interface IncomingRequest {
  readonly headers: ReceivedHeaders
}

// What a server hands to its listener is inferred through this type; from `never` or `unknown` it would not be.
// biome-ignore lint/suspicious/noExplicitAny: see above
type AnyListener = (request: any, ...rest: any[]) => unknown

/**
 * A listener for requests of a node:http or node:http2 server that runs each in its own context.
 *
 * Node emits the events of a request's body outside of the context; `for await` and promises keep it.
 *
 * @throws TypeError for what is no function, and for options that are wrong.
 */
export function withContext<Listener extends AnyListener>(listener: Listener, options: InboundOptions = {}): Listener {
  checkFunction('withContext: listener', listener)
  const trusted = trustedBy('withContext', options)
  return function inContext(this: unknown, request: IncomingRequest, ...rest: unknown[]): unknown {
    return runWithContext(readContext(request.headers, trusted), () => listener.call(this, request, ...rest))
  } as Listener
}

/**
 * A hook for Fastify's `onRequest`, and middleware for Express, that lets each request go on in its own context.
 *
 * The parsers of bodies of both keep the context. After one that goes on from an event of the request, it belongs below.
 *
 * @throws TypeError for options that are wrong.
 */
export function contextHook(
  options: InboundOptions = {},
): (request: IncomingRequest, reply: unknown, done: () => void) => void {
  const trusted = trustedBy('contextHook', options)
  return (request, _reply, done) => runWithContext(readContext(request.headers, trusted), done)
}
