// undici's fetch listens to the body of a response some promises after it was given the head. Where the body breaks in the
// same turn as the head comes, nobody heard of it: reading the body never came to an end, and an abort did not help.
import { createFetch } from 'roundtripper'
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'

class Breaking extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = { aborted: false, paused: false, reason: null, pause() {}, resume() {}, abort() {} }
    setImmediate(() => {
      handler.onRequestStart?.(controller, {})
      handler.onResponseStart?.(controller, 200, {}, 'OK')
      handler.onResponseError?.(controller, Object.assign(new Error('the body broke'), { code: 'ERR_BROKE' }))
    })
    return true
  }
}

it('a body that breaks together with its head fails, and does not hang', async () => {
  const response = await createFetch(new Breaking())('http://127.0.0.1/')
  expect(response.status).toBe(200)
  await expect(response.text()).rejects.toMatchObject({ message: 'terminated', cause: { code: 'ERR_BROKE' } })
})
