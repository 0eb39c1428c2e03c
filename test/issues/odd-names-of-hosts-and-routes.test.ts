import { balance, route } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, errorOf } from '../dispatchers/retry-servers.ts'

// They were taken, and each call to the host failed at its edge: no failure of the host, which was called on and on.
it.each([
  ['servername', 'a\r\nb', 'a host name'],
  ['servername', 'a b', 'a host name'],
  ['servername', 'a.test:443', 'a host name'],
  ['servername', '', 'a host name'],
  ['authority', 'a\r\nx: y', 'a host name and maybe a port'],
  ['authority', 'a/b', 'a host name and maybe a port'],
  ['authority', 'user@a', 'a host name and maybe a port'],
  ['authority', 'a:port', 'a host name and maybe a port'],
])('a host whose %s is %j is refused', (option, value, allowed) => {
  const make = () => balance({ hosts: [{ origin: 'https://10.0.0.1', [option]: value }] })
  expect(make).toThrow(new TypeError(`balance: hosts[0]: ${option} must be ${allowed}, got ${JSON.stringify(value)}`))
})

it.each([
  { servername: 'a.test', authority: 'a.test:8443' },
  { servername: 'a_b.test', authority: '[::1]:80' },
  { servername: 'localhost', authority: 'localhost' },
])('a host called %j is taken', (names) => {
  expect(() => balance({ hosts: [{ origin: 'https://10.0.0.1', ...names }] })).not.toThrow()
})

// The second name was dropped, and half of the calls went out under the first.
it('one host under two names is refused', () => {
  const origin = 'https://10.0.0.1'
  for (const names of [{ servername: 'b.test' }, { servername: 'a.test', authority: 'b.test' }, {}]) {
    expect(() =>
      balance({
        hosts: [
          { origin, servername: 'a.test' },
          { origin, ...names },
        ],
      }),
    ).toThrow('balance: hosts[1]: "https://10.0.0.1" must have one servername and one authority, got others before')
  }
})

it('a function without a name is not called by that of the option', async () => {
  const chain = chainTo({}, balance({ hosts: () => [] }))
  const error = await errorOf(call(chain, 'http://users/'))
  expect(error).toMatchObject({ message: 'No host of a group to call: the list of hosts is empty' })
})

it('credentials in an origin are not left out in silence', () => {
  expect(() => balance({ hosts: ['http://:secret@a.test'] })).toThrow('hosts[0]: origin must be an http(s) origin')
  expect(() => route([{ to: 'http://me:secret@a.test' }])).toThrow(
    'route: routes[0].to must be an origin, with no name and password, got one for "http://a.test"',
  )
})

it('an option that is undefined has its default', () => {
  const given = { refresh: undefined, slowStart: undefined, panicThreshold: undefined, algorithm: undefined }
  expect(() => balance({ hosts: ['http://a.test'], ...(given as object) })).not.toThrow()
})

it('state() tells of a route by any name', () => {
  const { routes } = route([{ name: '__proto__', to: [] }]).state()
  expect(Object.entries(routes)).toEqual([['__proto__', { matched: 0 }]])
})
