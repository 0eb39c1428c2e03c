// A transport may have all the rest of an answer when a consumer reads on, so that the call ends before the consumer's
// callback has returned. What that then threw was told to it as an error after the end, where one object served the call.
import { classify, compose, type Layers, standard } from 'roundtripper'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

/** Gives the rest of its answer as soon as it is told to go on. */
class Prompt extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: [],
      pause: () => {},
      resume: () => {
        handler.onResponseData?.(controller, Buffer.alloc(8))
        handler.onResponseEnd?.(controller, {})
      },
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

const above: Record<string, () => Layers> = { 'one object': () => [], 'many objects': () => classify(() => undefined) }

describe.each(Object.keys(above))('in %s', (name) => {
  it('45: what a consumer throws after its end is no error of the call', () => {
    const lines: string[] = []
    const chain = compose(new Prompt(), above[name]?.(), standard())
    onTestFinished(() => chain.destroy())
    chain.dispatch(
      { origin: 'http://127.0.0.1', path: '/', method: 'GET' },
      {
        onRequestStart: () => {},
        onResponseStart: (controller) => {
          controller.resume()
          throw new Error('too late')
        },
        onResponseData: () => lines.push('data'),
        onResponseEnd: () => lines.push('end'),
        onResponseError: (_, error) => lines.push(error.message),
      },
    )
    expect(lines).toEqual(['data', 'end'])
  })
})
