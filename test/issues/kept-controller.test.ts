// Whoever keeps the controller of a call that is over kept the whole call with it. undici's request() does, in a function
// that V8 puts among the old objects at once: every call was copied there, which cost more than the chain itself.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { bulkhead, compose, createAgent, guard, type Layer, retry, standard } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

class Consumer implements Dispatcher.DispatchHandler {
  controller: Dispatcher.DispatchController | undefined
  private readonly over: (failure?: unknown) => void

  constructor(over: (failure?: unknown) => void) {
    this.over = over
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
  }

  onResponseStart(): void {}

  onResponseData(): void {}

  onResponseEnd(): void {
    this.over()
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.over(error)
  }
}

const passOn: Layer = (dispatch) => (opts, handler) => dispatch(opts, handler)

const chains: readonly [string, () => Layer[]][] = [
  ['the standard chain', () => standard()],
  ['the standard chain with a policy above it', () => [guard({ acquire: () => null as never }), ...standard()]],
  ['retry alone', () => [retry()]],
  ['a guard alone', () => [bulkhead()]],
  ['a foreign layer between two of the kit', () => [bulkhead(), passOn, retry()]],
]

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  it.each(chains)('the controller of a call that is over holds nothing: %s', async (_name, layers) => {
    const server = await startServer({ protocol })
    const chain = compose(createAgent({ connect: { ca: server.ca as string } }), ...layers())
    onTestFinished(async () => {
      await chain.destroy()
      await server.close()
    })

    const call = async () => {
      const { consumer, failure } = await new Promise<{ consumer: Consumer; failure?: unknown }>((resolve) => {
        const consumer: Consumer = new Consumer((failure) => resolve({ consumer, failure }))
        chain.dispatch({ origin: server.origin, path: '/', method: 'GET' }, consumer)
      })
      expect(failure).toBeUndefined()
      return { controller: consumer.controller as Dispatcher.DispatchController, consumer: new WeakRef(consumer) }
    }
    const { controller, consumer } = await call()
    // The connection itself forgets the last request it sent when it sends the next.
    await call()

    await new Promise(setImmediate)
    collectGarbage()

    expect(consumer.deref()).toBeUndefined()
    expect(controller.aborted).toBe(false)
    controller.pause()
    controller.resume()
    controller.abort(new Error('too late'))
    expect(controller.aborted).toBe(false)
  })
})
