// A consumer may keep the controller that it got first. That of a call in one object told of the first attempt for ever
// after, and whether the body was held back as it had been when the object was taken apart.
import { classify, compose, type Layers, standard } from 'roundtripper'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { eventually } from '../dispatchers/retry-servers.ts'

/** Answers with what it is told. */
class Scripted extends Dispatcher {
  readonly statuses: number[]
  readonly handlers: Dispatcher.DispatchHandler[] = []
  constructor(...statuses: number[]) {
    super()
    this.statuses = statuses
  }
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handlers.push(handler)
    const status = this.statuses.shift() as number
    const rawHeaders = [Buffer.from('status'), Buffer.from(`${status}`)]
    const rawTrailers = [Buffer.from('after'), Buffer.from(`${status}`)]
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders,
      rawTrailers,
      pause: () => {},
      resume: () => {},
      abort: () => {},
    }
    setImmediate(() => {
      handler.onRequestStart?.(controller, {})
      handler.onResponseStart?.(controller, status, {}, '')
      handler.onResponseEnd?.(controller, {})
    })
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

const chains: Record<string, () => Layers> = {
  'one object': () => standard({ retry: { backoff: 1 } }),
  'many objects': () => [classify(() => undefined), standard({ retry: { backoff: 1 } })],
}

function begin(layers: Layers, statuses: number[], onHead: (kept: Dispatcher.DispatchController) => void) {
  const chain = compose(new Scripted(...statuses), layers)
  onTestFinished(() => chain.destroy())
  const call = { over: false, kept: undefined as Dispatcher.DispatchController | undefined }
  chain.dispatch(
    { origin: 'http://127.0.0.1', path: '/', method: 'GET' },
    {
      onRequestStart: (controller) => {
        call.kept = controller
      },
      onResponseStart: () => onHead(call.kept as Dispatcher.DispatchController),
      onResponseEnd: () => {
        call.over = true
      },
      onResponseError: (_, error) => {
        throw error
      },
    },
  )
  return call
}

describe.each(Object.keys(chains))('in %s', (name) => {
  it('45: a kept controller tells whether the body is held back', async () => {
    const seen: boolean[] = []
    const call = begin(chains[name]?.(), [200], (kept) => {
      seen.push(kept.paused)
      kept.pause()
      seen.push(kept.paused)
      kept.resume()
      seen.push(kept.paused)
    })
    await eventually(() => call.over)
    expect(seen).toEqual([false, true, false])
  })

  it('45: a kept controller that held back before the head tells when it no longer does', async () => {
    const seen: boolean[] = []
    const call = begin(chains[name]?.(), [200], (kept) => {
      seen.push(kept.paused)
      kept.resume()
      seen.push(kept.paused)
    })
    call.kept?.pause()
    await eventually(() => call.over)
    expect(seen).toEqual([true, false])
  })

  it('45: a kept controller has the raw headers of the answer that the consumer got', async () => {
    const seen: string[] = []
    const call = begin(chains[name]?.(), [503, 200], ({ rawHeaders, rawTrailers }) => {
      seen.push(String(rawHeaders), String(rawTrailers))
    })
    await eventually(() => call.over)
    expect(seen).toEqual(['status,200', 'after,200'])
  })
})
