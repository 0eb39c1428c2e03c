// Whoever listens to a breaker may give up calls from there, also the one whose head has just opened the circuit. In one
// object that call had its head after its error, and without a body its slot was given back twice.
import { attemptTimeout, bulkhead, circuitBreaker, classify, compose, type Layers, retry } from 'roundtripper'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const origin = 'http://127.0.0.1'
const controller = {
  aborted: false,
  paused: false,
  reason: null,
  rawHeaders: [],
  pause: () => {},
  resume: () => {},
  abort: () => {},
}

/** Answers 500 first, and 200 from then on. */
class Scripted extends Dispatcher {
  private status = 500
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, this.status, {}, '')
    handler.onResponseEnd?.(controller, {})
    this.status = 200
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

const above: Record<string, () => Layers> = { 'one object': () => [], 'many objects': () => classify(() => undefined) }

describe.each(Object.keys(above))('in %s', (name) => {
  it.each(['GET', 'HEAD'] as const)('45, 47: a %s that is given up with its head hears of no head', (method) => {
    const lines: string[] = []
    let current: Dispatcher.DispatchController | undefined
    const giveUp = () => current?.abort(new Error('the circuit is open'))
    const slots = bulkhead({ limit: 5 })
    const breaker = circuitBreaker({ minimumCalls: 2, onStateChange: giveUp })
    const chain = compose(new Scripted(), above[name]?.(), retry({ maxAttempts: 1 }), breaker, slots, attemptTimeout())
    onTestFinished(() => chain.destroy())
    const call = (told: string[]) =>
      chain.dispatch(
        { origin, path: '/', method },
        {
          onRequestStart: (given) => {
            current = given
          },
          onResponseStart: (_, status) => told.push(`head ${status}`),
          onResponseEnd: () => told.push('end'),
          onResponseError: (_, error) => told.push(error.message),
        },
      )
    call([])
    call(lines)
    expect(lines).toEqual(['the circuit is open'])
    expect(slots.state()[origin]).toMatchObject({ inUse: 0, queued: 0 })
  })
})
