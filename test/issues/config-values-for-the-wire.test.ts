// What cannot be sent was taken, and each call failed of it: line breaks in headers for a proxy, in the name a host is called
// by, and in that of its certificate. In headers of a fallback they were told without their place.
import { expect, it } from 'vitest'
import { problemsOf } from '../config/fixtures.ts'

it('values that no request or answer can hold are told where they stand', () => {
  const config = {
    agent: { proxy: { url: 'http://proxy:3128', headers: { 'x-a': 'a\nb', 'x-b': ['\u20ac'] } } },
    upstreams: {
      users: {
        hosts: [{ origin: 'https://10.0.0.7', authority: 'a\nb', servername: 'a b' }],
        fallback: { value: { headers: { 'x-a': 'a\r\nb', 'x-b': 'b' } } },
      },
    },
  }
  expect(problemsOf(config).map((line) => line.replace(/: .*/s, ''))).toEqual([
    'agent.proxy.headers.x-a',
    'agent.proxy.headers.x-b[0]',
    'upstreams.users.hosts[0].servername',
    'upstreams.users.hosts[0].authority',
    'upstreams.users.fallback.value.headers.x-a',
  ])
})
