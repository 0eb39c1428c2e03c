import { describe, expect, it } from 'vitest'
import { isLoopback, readNoProxy } from '../../src/dispatchers/no-proxy.ts'

describe('NO_PROXY', () => {
  it.each([
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://api.example.com', true],
    ['example.com', 'https://notexample.com', false],
    ['.example.com', 'https://example.com', false],
    ['.example.com', 'https://api.example.com', true],
    ['*.example.com', 'https://api.example.com', true],
    ['EXAMPLE.com', 'https://Example.COM.', true],
    ['a.test, b.test c.test', 'http://c.test', true],
    ['*', 'https://example.com', true],
    ['', 'https://example.com', false],
    ['example.com:8443', 'https://example.com', false],
    ['example.com:8443', 'https://example.com:8443', true],
    ['example.com:443', 'https://example.com', true],
    ['10.0.0.0/8', 'http://10.1.2.3', true],
    ['10.0.0.0/8', 'http://11.1.2.3', false],
    ['10.0.0.0/99', 'http://10.1.2.3', false],
    ['192.168.1.1', 'http://192.168.1.1', true],
    ['192.168.1.1:81', 'http://192.168.1.1', false],
    ['fd00::/8', 'http://[fd00::1]', true],
    ['[fd00::1]:80', 'http://[fd00::1]', true],
    ['fd00::1', 'http://[fd00::2]', false],
    ['/,:,..', 'http://example.com', false],
  ])('%j for %s: %s', (list, url, direct) => {
    expect(readNoProxy(list)(new URL(url))).toBe(direct)
  })
})

it('knows what leads to this machine', () => {
  const local = ['http://localhost', 'http://a.localhost:81', 'http://127.0.0.9', 'http://[::1]']
  const remote = ['http://localhost.test', 'http://128.0.0.1', 'http://[::2]']
  expect([...local, ...remote].map((url) => isLoopback(new URL(url)))).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})
