import { describe, expect, it } from 'vitest'
import { redactedUrl, redactPath } from '../../src/dispatchers/redact.ts'

describe('redactPath', () => {
  it.each([
    ['X-Amz-Signature'],
    ['X-Amz-Credential'],
    ['X-Amz-Security-Token'],
    ['AWSAccessKeyId'],
    ['Signature'],
    ['sig'],
    ['X-Goog-Signature'],
  ])('41: takes out the value of %s, which the conventions name', (key) => {
    for (const name of [key, key.toLowerCase(), key.toUpperCase()]) {
      expect(redactPath(`/p?a=1&${name}=secret&b=2`)).toBe(`/p?a=1&${name}=REDACTED&b=2`)
    }
  })

  it.each(['access_token', 'api_key', 'client_secret', 'password', 'token', 'code'])('takes out %s', (key) => {
    expect(redactPath(`/p?${key}=secret`)).toBe(`/p?${key}=REDACTED`)
  })

  it.each([
    [
      'a percent-encoded name',
      '/p?%73ig=secret&X%2DAmz%2DSignature=secret',
      '/p?%73ig=REDACTED&X%2DAmz%2DSignature=REDACTED',
    ],
    ['a repeated name', '/p?sig=one&sig=two&sig=three', '/p?sig=REDACTED&sig=REDACTED&sig=REDACTED'],
    ['a name without a value', '/p?sig&token=&a', '/p?sig&token=REDACTED&a'],
    ['a value with equals signs', '/p?sig=a=b==&c=d', '/p?sig=REDACTED&c=d'],
    ['a fragment after the value', '/p?sig=secret#part', '/p?sig=REDACTED'],
    ['a name that cannot be decoded', '/p?%zz=1&sig=secret', '/p?%zz=1&sig=REDACTED'],
    ['names that only look alike', '/p?signal=1&design=2&sigs=3', '/p?signal=1&design=2&sigs=3'],
    ['a path that looks like one', '/sig=1/token', '/sig=1/token'],
    ['an empty query', '/p?', '/p?'],
    ['empty pairs', '/p?&&a=1&', '/p?&&a=1&'],
  ])('handles %s', (_, path, expected) => {
    expect(redactPath(path)).toBe(expected)
  })
})

describe('redactedUrl', () => {
  const origin = 'https://api.example.com'
  it.each([
    ['a path', { path: '/users?id=7' }, 'https://api.example.com/users?id=7'],
    [
      'a query apart',
      { path: '/p', query: { a: 1, sig: 'x', list: [1, 2] } },
      'https://api.example.com/p?a=1&sig=REDACTED&list=1&list=2',
    ],
    ['an empty query', { path: '/p', query: {} }, 'https://api.example.com/p'],
    ['an absolute path', { path: 'http://other.example/p?key=1' }, 'http://other.example/p?key=REDACTED'],
    ['credentials', { path: 'http://user:pass@other.example/p' }, 'http://other.example/p'],
    ['a password with an at sign', { path: 'https://user:p@ss@other.example/p' }, 'https://other.example/p'],
    ['a user alone', { path: 'https://user@other.example?x=1' }, 'https://other.example?x=1'],
    ['an at sign in the path', { path: '/@user/x@y' }, 'https://api.example.com/@user/x@y'],
    ['an at sign in the query', { path: '/?mail=a@b' }, 'https://api.example.com/?mail=a@b'],
    ['an authority', { path: 'other.example:443' }, 'other.example:443'],
    ['what is no path', { path: undefined as never }, 'undefined'],
  ])('41: of %s', (_, opts, expected) => {
    expect(redactedUrl(origin, opts)).toBe(expected)
  })

  it('41: drops credentials of an origin too', () => {
    expect(redactedUrl('http://user:pass@host:99999', { path: '/p' })).toBe('http://host:99999/p')
  })
})
