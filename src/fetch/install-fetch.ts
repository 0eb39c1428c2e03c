import * as undici from 'undici'
import { createAgent } from '../dispatchers/agent.ts'
import { compose } from '../dispatchers/compose.ts'
import { standard } from '../standard.ts'
import { checkDispatcher, createFetch } from './create-fetch.ts'
import { GlobalSwap, putAwayUndone } from './fetch-globals.ts'
import { passOn } from './pass-on.ts'

type Dispatcher = undici.Dispatcher
type Fetch = (input: unknown, init: unknown) => Promise<Response>

/** `release` lets go of what was made for this install alone; `null` where nothing was. */
function install(dispatcher: Dispatcher, release: (() => void) | null): () => void {
  const bound = createFetch(dispatcher) as Fetch
  const call = release === null ? bound : counted
  let pending = 0
  let undone = false

  function fetch(input: unknown, init: unknown = undefined): Promise<Response> {
    return undone ? callBefore(input, init) : call(input, init)
  }

  // Between two hops of a redirect nothing is in flight: a pool closed then would fail the next hop.
  async function counted(input: unknown, init: unknown): Promise<Response> {
    pending++
    try {
      return await bound(input, init)
    } finally {
      pending--
      releaseWhenIdle()
    }
  }

  // Somebody who kept this function may go on calling it after the undo: then it is what was there before it.
  async function callBefore(input: unknown, init: unknown): Promise<Response> {
    putAwayUndone()
    const before = swap.fetchBefore
    if (typeof before !== 'function') throw new TypeError('fetch was uninstalled, and there was none before it')
    return passOn(before as Fetch, input, init)
  }

  function releaseWhenIdle(): void {
    if (undone && pending === 0) release?.()
  }

  const swap = new GlobalSwap({
    fetch,
    Request: undici.Request,
    Response: undici.Response,
    Headers: undici.Headers,
    FormData: undici.FormData,
  })
  return function uninstall() {
    if (undone) return
    swap.undo()
    undone = true
    releaseWhenIdle()
  }
}

/**
 * Replaces the globals `fetch`, `Request`, `Response`, `Headers` and `FormData` together: every call of the program's
 * global fetch then leaves through `dispatcher`, over HTTP/2 where the server speaks it. No other global is touched, nor
 * undici's global dispatcher.
 *
 * @param dispatcher by default the standard chain over a pool of its own, `compose(createAgent(), standard())`.
 * @returns the undo. It puts back only what is still ours (not what somebody else has put over it), in any order with
 *   other installs, does nothing the second time, and lets calls under way finish; a pool made here closes behind them. It
 *   throws a TypeError, and leaves everything installed, if a global of ours has been fixed since.
 * @throws TypeError if `dispatcher` is none, or one of the globals is not writable: then none has been changed.
 */
export function installFetch(dispatcher?: Dispatcher): () => void {
  if (dispatcher !== undefined) {
    return install(checkDispatcher('installFetch: dispatcher', dispatcher), null)
  }
  const own = compose(createAgent(), standard())
  return install(own, () => {
    own.close().catch(() => undefined)
  })
}
