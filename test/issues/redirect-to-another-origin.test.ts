import { bulkhead, type CallRecord, circuitBreaker, type Logger, logging, retry } from 'roundtripper'
import { interceptors } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, chainTo, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

// A redirect between two layers of the kit sends the same call to another origin. Its slots and circuits were those of
// the first.
describe.each(protocols)('a redirect to another origin over $version', ({ protocol }) => {
  it.each([
    ['above retry', () => [interceptors.redirect({ maxRedirections: 3 }), retry(quick)]],
    ['below retry', () => [retry(quick), interceptors.redirect({ maxRedirections: 3 })]],
    ['without retry', () => [interceptors.redirect({ maxRedirections: 3 })]],
  ])('9: is charged to the origin it goes to, %s', async (_where, layers) => {
    const [from, to] = [await serve({ protocol }), await serve({ protocol, respond: 500 })]
    from.script('/', { status: 307, headers: { location: to.url('/there') } })
    const records: CallRecord[] = []
    const note = (record: object) => records.push(record as CallRecord)
    const logger: Logger = { debug() {}, info: note, warn: note }
    const breaker = circuitBreaker({ minimumCalls: 100 })
    const slots = bulkhead({ limit: 3 })
    const chain = chainTo(from, logging({ logger }), ...layers(), breaker, slots)
    expect((await call(chain, from.url('/'))).status).toBe(500)
    expect(breaker.state()[from.origin]).toMatchObject({ failures: 0 })
    expect(breaker.state()[to.origin]?.failures).toBeGreaterThan(0)
    expect(slots.state()).toMatchObject({
      [from.origin]: { inUse: 0, queued: 0 },
      [to.origin]: { inUse: 0, queued: 0 },
    })
    expect(records.map(({ url, status, outcome }) => ({ url, status, outcome }))).toEqual([
      { url: from.url('/'), status: 500, outcome: 'serverError' },
    ])
    expect(records[0]?.protocol).toBe(protocol === 'h1' ? '1.1' : '2')
  })
})
