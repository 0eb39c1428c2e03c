// A patch that was put over ours and taken off after the undo puts back what it found: our fetch, and undici's classes, as
// MSW does. They stayed for good, and Node's own fetch was then given undici's Request.
import { installFetch } from 'roundtripper'
import * as undici from 'undici'
import { expect, it } from 'vitest'
import { descriptors, keepsGlobals, named, restore } from '../fetch/globals.ts'
import { serve } from '../fetch/servers.ts'

keepsGlobals()

/** Stands over fetch and its classes, and puts back what was there. */
function patchAll(): () => void {
  const found = descriptors()
  const { fetch, Request, Response, Headers } = globalThis
  globalThis.fetch = (input, init) => fetch(new Request(input, init))
  globalThis.Request = class extends Request {}
  globalThis.Response = class extends Response {}
  globalThis.Headers = class extends Headers {}
  return () => restore(found)
}

it('what a patch puts back after the undo is put away by the first call', async () => {
  const { server } = await serve({ protocol: 'h1c', respond: { echo: true } })
  const original = descriptors()
  const uninstall = installFetch(named('ours'))
  const takeOff = patchAll()
  uninstall()
  takeOff()
  expect(globalThis.Request).toBe(undici.Request)
  const response = await fetch(new Request(server.url(), { method: 'PUT', body: 'whole' }))
  expect(await response.json()).toMatchObject({ method: 'PUT', body: 'whole' })
  expect(descriptors()).toEqual(original)
  expect(response).toBeInstanceOf(Response)
})

it('and by the next install, whose undo leaves what was there before both', () => {
  const original = descriptors()
  const uninstall = installFetch(named('ours'))
  const takeOff = patchAll()
  uninstall()
  takeOff()
  installFetch(named('next'))()
  expect(descriptors()).toEqual(original)
})

it('while another install lasts, its classes stay', async () => {
  const original = descriptors()
  const undoFirst = installFetch(named('first'))
  const takeOff = patchAll()
  const undoSecond = installFetch(named('second'))
  undoFirst()
  takeOff()
  const response = await fetch('data:,text')
  expect(await response.text()).toBe('text')
  expect(globalThis.Request).toBe(undici.Request)
  expect(globalThis.fetch).toBe(original[0]?.value)
  undoSecond()
  // The patch went while it was below another: its classes are what that one had found.
  restore(original)
})
