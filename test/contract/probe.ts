// Looks at the contract where a foreign layer, and not the consumer, is above the kit's.
import type { Dispatcher } from 'undici'
import { breachOf } from './consumer.ts'

type Handler = Dispatcher.DispatchHandler

/** Passes everything on, and keeps the callbacks. */
class ProbedHandler implements Handler {
  readonly events: string[] = []
  readonly #handler: Handler

  constructor(handler: Handler) {
    this.#handler = handler
  }

  onRequestStart(...args: Parameters<NonNullable<Handler['onRequestStart']>>): void {
    this.events.push('start')
    this.#handler.onRequestStart?.(...args)
  }

  onRequestUpgrade(...args: Parameters<NonNullable<Handler['onRequestUpgrade']>>): void {
    this.events.push(`upgrade ${args[1]}`)
    this.#handler.onRequestUpgrade?.(...args)
  }

  onResponseStart(...args: Parameters<NonNullable<Handler['onResponseStart']>>): void {
    this.events.push(`${args[1] < 200 ? 'info' : 'head'} ${args[1]}`)
    this.#handler.onResponseStart?.(...args)
  }

  onResponseData(...args: Parameters<NonNullable<Handler['onResponseData']>>): void {
    if (this.events.at(-1) !== 'data') this.events.push('data')
    this.#handler.onResponseData?.(...args)
  }

  onResponseEnd(...args: Parameters<NonNullable<Handler['onResponseEnd']>>): void {
    this.events.push('end')
    this.#handler.onResponseEnd?.(...args)
  }

  onResponseError(...args: Parameters<NonNullable<Handler['onResponseError']>>): void {
    this.events.push('error')
    this.#handler.onResponseError?.(...args)
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.()
  }

  onBodySent(chunk: Buffer): void {
    this.#handler.onBodySent?.(chunk)
  }

  onRequestSent(): void {
    this.#handler.onRequestSent?.()
  }
}

/** A foreign layer that does nothing but look. */
export class Probe {
  readonly #seen: { readonly path: string; readonly handler: ProbedHandler }[] = []
  #thrown: string[] = []

  readonly layer = (dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] => {
    return (opts, handler) => {
      const probed = new ProbedHandler(handler)
      this.#seen.push({ path: opts.path, handler: probed })
      try {
        return dispatch(opts, probed)
      } catch (error) {
        this.#thrown.push(`dispatch of ${opts.path} threw ${String(error)}`)
        throw error
      }
    }
  }

  /** How many dispatches have passed. */
  get count(): number {
    return this.#seen.length
  }

  /** Where the contract was broken. */
  get mistakes(): string[] {
    const broken = this.#seen.map(({ path, handler }) => {
      const breach = breachOf(handler.events)
      return breach === null ? null : `${path}: ${breach}`
    })
    return [...this.#thrown, ...broken.filter((breach) => breach !== null)]
  }
}
