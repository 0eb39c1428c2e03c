// The abort of a call that nobody had begun to send closes its body. An iterable that threw there ended the process, and
// the other calls of the same signal were not aborted.
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'

class Silent extends Dispatcher {
  readonly handlers: Dispatcher.DispatchHandler[] = []

  override dispatch(_options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handlers.push(handler)
    return true
  }
}

const broken = {
  [Symbol.asyncIterator]() {
    throw new Error('no iterator today')
  },
}

it('a body that throws when it is closed disturbs no abort', async () => {
  const fetch = createFetch(new Silent())
  const controller = new AbortController()
  const { signal } = controller
  const init = { method: 'POST', body: broken as never, duplex: 'half', signal } as RequestInit
  const calls = [fetch('http://localhost/', init), fetch('http://localhost/', { signal })]
  const reason = new Error('enough')

  controller.abort(reason)

  for (const call of calls) await expect(call).rejects.toBe(reason)
})

it('a dispatcher that throws when a call is given up disturbs no other', async () => {
  const silent = new Silent()
  const fetch = createFetch(silent)
  const controller = new AbortController()
  const { signal } = controller
  const calls = [fetch('http://localhost/', { signal }), fetch('http://localhost/', { signal })]
  const error = new Error('abort is broken')
  silent.handlers[0]?.onRequestStart?.(
    {
      abort() {
        throw error
      },
    } as unknown as Dispatcher.DispatchController,
    {},
  )
  const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
  const reason = new Error('enough')

  controller.abort(reason)

  for (const call of calls) await expect(call).rejects.toBe(reason)
  expect(await thrown).toBe(error)
})
