// Which origins a list allows.
import { type ContextHeadersOptions, contextHeaders, runWithContext } from 'roundtripper'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, serve } from './retry-servers.ts'

describe('origins', () => {
  const allowed: [ContextHeadersOptions['origins'], string, boolean][] = [
    [['https://*.example.com'], 'https://api.example.com', true],
    [['https://*.example.com'], 'https://a.b.example.com', true],
    [['https://*.example.com'], 'https://example.com', false],
    [['https://*.example.com'], 'https://badexample.com', false],
    [['https://*.example.com'], 'http://api.example.com', false],
    [['https://*.example.com'], 'https://api.example.com:8443', false],
    [['https://*.example.com:8443'], 'https://api.example.com:8443', true],
    [['https://*.example.com'], 'https://api.example.com.evil.test', false],
    [['https://API.example.com:443'], 'https://api.example.com', true],
    [[new URL('https://api.example.com')], 'https://API.example.com:443/', true],
    [['https://api.example.com'], 'https://api.example.com:444', false],
    [[], 'https://api.example.com', false],
    [(origin) => origin === 'https://api.example.com', 'https://API.example.com', true],
    [() => 'yes' as unknown as boolean, 'https://api.example.com', false],
  ]
  it.each(allowed)('%s: %s is %s', (origins, origin, expected) => {
    let headers: unknown
    const dispatch = contextHeaders({ origins })((opts, handler) => {
      headers = opts.headers
      handler.onResponseError?.(null as never, new Error('seen'))
      return true
    })
    const handler = { onRequestStart() {}, onResponseError() {} }
    runWithContext({ requestId: 'r-1' }, () => dispatch({ origin, path: '/', method: 'GET' }, handler))
    expect(headers).toEqual(expected ? { 'x-request-id': 'r-1' } : undefined)
  })

  it('a function that throws lets nothing out, and is told of once', async () => {
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    onTestFinished(() => {
      process.off('warning', note)
    })
    const server = await serve({ protocol: 'h1c' })
    const origins = () => {
      throw new Error('not today')
    }
    const chain = chainTo(server, contextHeaders({ origins }))
    for (const _ of [1, 2])
      expect((await runWithContext({ requestId: 'r-1' }, call, chain, server.url())).status).toBe(200)
    expect(server.requests.map(({ headers }) => headers['x-request-id'])).toEqual([undefined, undefined])
    expect(warnings.map(String)).toEqual([expect.stringContaining('contextHeaders: origins failed')])
  })

  it.each<[object, string]>([
    [{}, 'contextHeaders: origins must be an array of origins, or a function of an origin, got undefined'],
    [{ origins: 'https://a.test' }, 'contextHeaders: origins must be an array of origins'],
    [{ origins: ['a.test'] }, 'contextHeaders: origins must be http(s) origins, got "a.test"'],
    [{ origins: ['https://a.test/path'] }, 'contextHeaders: origins must be an origin, with no path'],
    [{ origins: ['https://*'] }, 'may have a star only for all hosts below a name, got "https://*"'],
    [{ origins: ['https://*.com'] }, 'may have a star only for all hosts below a name'],
    [{ origins: ['https://a.*.test'] }, 'may have a star only for all hosts below a name'],
    [{ origins: ['https://*.*.a.test'] }, 'may have a star only for all hosts below a name'],
    [{ origins: ['https://*a.b.test'] }, 'may have a star only for all hosts below a name'],
    [{ origins: [], fields: ['id'] }, 'contextHeaders: fields: unknown field "id"'],
    [{ origins: [], names: { id: 'x' } }, 'contextHeaders: names: unknown option "id"'],
    [{ origins: [], allow: [] }, 'contextHeaders: unknown option "allow"; known are origins, fields, names'],
  ])('the options %j are refused', (options, message) => {
    expect(() => contextHeaders(options as ContextHeadersOptions)).toThrow(message)
  })
})
