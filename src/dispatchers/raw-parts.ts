import type { Dispatcher } from 'undici'

type RawHeaders = Exclude<Dispatcher.DispatchController['rawHeaders'], undefined>

/**
 * What a controller hands through of the one below it. undici's fetch reads these from the controller it is given;
 * undici's decompress and cache also write them.
 */
export abstract class RawParts {
  /** The controller below; `null` before there is one. */
  protected abstract get below(): Dispatcher.DispatchController | null

  get rawHeaders(): RawHeaders {
    return this.below?.rawHeaders ?? null
  }

  set rawHeaders(value: RawHeaders) {
    const { below } = this
    if (below !== null) below.rawHeaders = value
  }

  get rawTrailers(): RawHeaders {
    return this.below?.rawTrailers ?? null
  }

  set rawTrailers(value: RawHeaders) {
    const { below } = this
    if (below !== null) below.rawTrailers = value
  }
}
