// A foreign layer next to the transport that misbehaves, for paths that begin with /odd/. undici's own layers, MockAgent
// and other people's interceptors do each of these.
import type { Dispatcher } from 'undici'

/** A controller of the oddities: nothing is behind it. */
class OddController implements Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  rawHeaders: string[] | null = null
  rawTrailers: string[] | null = null

  abort(reason: Error): void {
    this.aborted = true
    this.reason = reason
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }
}

type Oddity = (handler: Dispatcher.DispatchHandler, goOn: () => boolean) => boolean

/** What every oddity fails with. */
export const oddError = new Error('odd')

const nobody = null as never

const oddities: Readonly<Record<string, Oddity>> = {
  'null-controller': (handler) => {
    handler.onResponseError?.(nobody, oddError)
    return true
  },
  'no-controller-later': (handler) => {
    setImmediate(() => handler.onResponseError?.(undefined as never, oddError))
    return true
  },
  throws: () => {
    throw oddError
  },
  'starts-and-throws': (handler) => {
    handler.onRequestStart?.(new OddController(), {})
    throw oddError
  },
  'fails-and-throws': (handler) => {
    handler.onResponseError?.(nobody, oddError)
    throw new Error('thrown after the call was over')
  },
  'starts-twice': (handler, goOn) => {
    handler.onRequestStart?.(new OddController(), {})
    handler.onRequestStart?.(new OddController(), { second: true })
    return goOn()
  },
  'never-ends': (handler) => {
    const controller = new OddController()
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    handler.onResponseEnd?.(controller, {})
    handler.onResponseEnd?.(controller, {})
    handler.onResponseError?.(controller, oddError)
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    handler.onResponseData?.(controller, Buffer.from('late'))
    return true
  },
  silent: () => true,
}

/** The layer. */
export function odd(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  return function odd(opts, handler) {
    const oddity = /^\/odd\/([\w-]+)/.exec(opts.path)?.[1]
    if (oddity === undefined) return dispatch(opts, handler)
    return oddities[oddity]!(handler, () =>
      dispatch({ ...opts, path: opts.path.replace(/^\/odd\/[\w-]+/, '/get') }, handler),
    )
  }
}
