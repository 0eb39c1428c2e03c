import { Dispatcher } from 'undici'

const noHeaders = {}

/** Where copies go: it answers, fails, throws or says nothing, by chance, and nobody may see anything of it. */
export class Shadow extends Dispatcher {
  readonly #random: () => number

  constructor(random: () => number) {
    super()
    this.#random = random
  }

  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const drawn = this.#random()
    if (drawn < 0.1) throw new Error('the shadow throws')
    const tell = () => this.#tell(drawn, handler)
    if (drawn < 0.5) tell()
    else setImmediate(tell)
    return true
  }

  #tell(drawn: number, handler: Dispatcher.DispatchHandler): void {
    const controller = {
      aborted: false,
      paused: false,
      reason: null as Error | null,
      abort(error: Error) {
        if (controller.aborted) return
        controller.aborted = true
        controller.reason = error
        handler.onResponseError?.(controller, error)
      },
      pause() {},
      resume() {},
    }
    handler.onRequestStart?.(controller, null)
    const kind = Math.floor(drawn * 100) % 5
    // Nothing, until its time is up.
    if (kind === 0 || controller.aborted) return
    if (kind === 1) {
      handler.onResponseError?.(controller, new Error('the shadow fails'))
      return
    }
    handler.onResponseStart?.(controller, kind === 2 ? 503 : 200, noHeaders, '')
    for (let pieces = 0; pieces < 10 && !controller.aborted; pieces++) {
      handler.onResponseData?.(controller, Buffer.alloc(10_000))
    }
    // Of half of them the body never ends.
    if (kind !== 3 && !controller.aborted) handler.onResponseEnd?.(controller, noHeaders)
  }
}
