import { route } from 'roundtripper'
import { expect, it } from 'vitest'

const named = (value: string | boolean) => ({ path: '/a', headers: { 'content-type': value }, to: [] })

// A route that asks for a media type and one that asks for another value of the header were told to fit the same calls.
it('routes for a media type and for another content-type are no conflict', () => {
  expect(() => route([{ path: '/a', contentType: 'application/json', to: [] }, named('text/plain')])).not.toThrow()
  expect(() => route([{ path: '/a', contentType: 'image/*', to: [] }, named(false)])).not.toThrow()
  expect(() => route([{ path: '/a', contentType: 'text/plain', to: [] }, named('text/plain; charset=utf-8')])).toThrow(
    'both fit the same calls',
  )
  expect(() => route([{ path: '/a', contentType: 'image/*', to: [] }, named(true)])).toThrow('both fit the same calls')
})
