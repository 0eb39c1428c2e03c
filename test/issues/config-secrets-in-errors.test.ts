// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
// Errors tell the variable, and not its value; but two told it: that of a route to a name that is nearly one of an upstream,
// and that of a deadline and an attemptTimeout that do not fit.
import { expect, it } from 'vitest'
import { problemsOf } from '../config/fixtures.ts'

it('no error tells what a variable holds', () => {
  const users = { deadline: '${WHOLE}', attemptTimeout: '${ATTEMPT}' }
  const env = { NEAR: 'userz', WHOLE: '4711', ATTEMPT: '4811' }
  expect(problemsOf({ upstreams: { users }, routes: [{ to: '${NEAR}' }] }, { env })).toEqual([
    'upstreams.users.deadline: must be longer than attemptTimeout, which is the value of "${ATTEMPT}", got the value of "${WHOLE}"',
    'routes[0].to: must be the name of an upstream, users, got the value of "${NEAR}"; did you mean users?',
  ])
})

it('nor does one of a text that looks like a pattern of replace()', () => {
  const hosts = ['http://$&${SECRET}:99999']
  expect(problemsOf({ upstreams: { users: { hosts } } }, { env: { SECRET: 'hunter2' } })).toEqual([
    'upstreams.users.hosts[0].origin: must be an http(s) origin such as https://10.0.0.7:8443, got "http://$&${SECRET}:99999"',
  ])
})
