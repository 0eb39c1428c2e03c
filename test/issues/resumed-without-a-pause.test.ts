// A consumer may tell a body to go on that it never held back. That set the clock of the body anew, so that whoever did it
// again and again waited for ever; in one object it did not.
import { bodyTimeout, classify, compose, type Layers, retry } from 'roundtripper'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { stopClock } from '../dispatchers/retry-servers.ts'

/** Gives a head and no body. */
class HeadOnly extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: [],
      pause: () => {},
      resume: () => {},
      abort: (reason: Error) => handler.onResponseError?.(controller, reason),
    }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

const chains: Record<string, () => Layers> = {
  'one object': () => [retry(), bodyTimeout(53)],
  'many objects': () => [classify(() => undefined), retry(), bodyTimeout(53)],
  'a guard alone': () => bodyTimeout(53),
}

describe.each(Object.keys(chains))('in %s', (name) => {
  it('25: the clock of a body that is not held back runs on when it is told to go on', async () => {
    const { advance } = stopClock()
    const chain = compose(new HeadOnly(), chains[name]?.())
    onTestFinished(() => chain.destroy())
    const errors: unknown[] = []
    let controller: Dispatcher.DispatchController | undefined
    chain.dispatch(
      { origin: 'http://127.0.0.1', path: '/', method: 'GET' },
      {
        onRequestStart: (given) => {
          controller = given
        },
        onResponseError: (_, error) => errors.push(error),
      },
    )
    await advance(30)
    controller?.resume()
    await advance(22)
    expect(errors).toEqual([])
    await advance(1)
    expect(errors).toMatchObject([{ code: 'ERR_BODY_TIMEOUT' }])
  })
})
