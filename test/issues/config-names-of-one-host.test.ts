// Without routes, `a` and `a.` are one host. That came out only when the agent was there already, which nobody closed, and as
// an error of route() without a path.
import { expect, it } from 'vitest'
import { configured, problemsOf } from '../config/fixtures.ts'

it('two upstreams that are the same host of a URL are told at their path', () => {
  const upstreams = { a: {}, b: {}, 'a.': {} }
  expect(problemsOf({ upstreams })).toEqual([
    'upstreams["a."]: must be called otherwise: as hosts of a URL it and a are the same',
  ])
  expect(() => configured({ upstreams, routes: [{ path: '/a', to: 'a' }, { to: 'a.' }] })).not.toThrow()
})
