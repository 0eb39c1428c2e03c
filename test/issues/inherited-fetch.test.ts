// Where the globals inherit fetch from a prototype, a fetch of ours that was kept failed after the undo, as if there had been
// none before it.
import { installFetch } from 'roundtripper'
import { expect, it, onTestFinished } from 'vitest'
import { ask, descriptors, keepsGlobals, named, restore } from '../fetch/globals.ts'

keepsGlobals()

it('a fetch that is inherited is called, and seen again', async () => {
  const original = descriptors()
  const prototype = Object.getPrototypeOf(globalThis)
  Reflect.deleteProperty(globalThis, 'fetch')
  prototype.fetch = async () => new Response('inherited')
  onTestFinished(() => {
    delete prototype.fetch
  })
  const undos = [installFetch(named('lower')), installFetch(named('upper'))]
  const kept = fetch
  for (const undo of undos) undo()
  expect(Object.hasOwn(globalThis, 'fetch')).toBe(false)
  expect(await ask()).toBe('inherited')
  expect(await (await kept('http://mock.test/')).text()).toBe('inherited')
  restore(original)
})
