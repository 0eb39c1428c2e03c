// A transport may have more to give at once when a consumer reads on, and the consumer may hold back again from there,
// before its resume() has returned. The edge then set the clock of the body while the one for an unread body was running:
// one entry in two lists, and soon no call with either of the two durations was ever late again.
import { bodyTimeout, bulkhead, compose } from 'roundtripper'
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { stopClock } from '../dispatchers/retry-servers.ts'

const origin = 'http://127.0.0.1'

/** Gives one piece of a body with the head, and another each time it is told to go on. */
class Prompt extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: [],
      pause: () => {},
      resume: () => handler.onResponseData?.(controller, Buffer.alloc(8)),
      abort: (reason: Error) => handler.onResponseError?.(controller, reason),
    }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    handler.onResponseData?.(controller, Buffer.alloc(8))
    return true
  }
}

it('25, 26: a body held back again from within resume() has the clock of an unread body, and no other', async () => {
  const { advance } = stopClock()
  const slots = bulkhead({ unreadBodyTimeout: 71 })
  const chain = compose(new Prompt(), slots, bodyTimeout(37))
  let controller: Dispatcher.DispatchController | undefined
  let error: unknown
  chain.dispatch(
    { origin, path: '/', method: 'GET' },
    {
      onRequestStart: (given) => {
        controller = given
      },
      onResponseStart: () => {},
      onResponseData: (given) => given.pause(),
      onResponseEnd: () => {},
      onResponseError: (_, found) => {
        error = found
      },
    },
  )
  controller?.resume()
  await advance(70)
  expect(slots.state()[origin]?.inUse).toBe(1)
  await advance(1)
  expect(slots.state()[origin]?.inUse).toBe(0)
  expect(error).toBeUndefined()
})
