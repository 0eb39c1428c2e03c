import { balance, bulkhead, type CallRecord, logging, retry, route } from 'roundtripper'
import { interceptors } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

const order = { method: 'POST', body: 'an order' } as const

// Below route() and balance() a call has a scope of its own. Whether it had gone out was known there, and not above, until a
// head came: retry() took a request whose connection broke for one that was never sent.
describe.each(protocols)('a call that is sent on over $version', ({ protocol }) => {
  it.each([
    ['a route', () => [retry(quick)], (origin: string) => route([{ to: origin }])],
    ['two routes', () => [retry(quick)], (origin: string) => route([{ to: route([{ to: origin }]) }])],
    [
      'a group over a route',
      () => [],
      (origin: string) => [balance({ hosts: [origin, 'http://other.test'] }), route([{ to: origin }])],
    ],
    ['a group', () => [retry(quick)], (origin: string) => balance({ hosts: [origin] })],
  ])('15: by %s is not sent again where it may have been served', async (_by, above, below) => {
    const server = await serve({ protocol, respond: { reset: 'before-head' } })
    const chain = chainTo(server, ...above(), below(server.origin))
    await errorOf(call(chain, 'http://shop/', order))
    expect(server.requests).toHaveLength(1)
  })

  it('40: tells how long it was queued', async () => {
    const server = await serve({ protocol })
    const records: CallRecord[] = []
    const info = (record: object) => void records.push(record as CallRecord)
    const slots = bulkhead({ limit: 1, queue: 1 })
    const layers = [logging({ logger: { debug() {}, info, warn: info } }), route([{ to: server.origin }]), slots]
    const chain = chainTo(server, ...layers)
    await Promise.all([call(chain, 'http://shop/'), call(chain, 'http://shop/')])
    expect(records.map(({ queuedMs }) => queuedMs > 0)).toEqual([false, true])
  })
})

// What is refused after a redirect was the redirected request; the one before it has had an answer.
it.each([
  ['retry() does not send a request again that was answered 303', () => [retry(quick)], 303],
  ['retry() does not send a request again that was answered 307', () => [retry(quick)], 307],
  ['balance() does not send a request again that was answered 303', (hosts: string[]) => [balance({ hosts })], 303],
  ['balance() does not send a request again that was answered 307', (hosts: string[]) => [balance({ hosts })], 307],
] as const)('15: %s, and refused where that led', async (_, above, status) => {
  for (const elsewhere of [true, false]) {
    const servers = [await serve({ protocol: 'h2' }), await serve({ protocol: 'h2' })]
    const [one, other] = servers as [(typeof servers)[0], (typeof servers)[0]]
    const there = elsewhere ? await serve({ protocol: 'h2', respond: { refuse: true } }) : null
    for (const server of servers) {
      server.script('/order', { status, headers: { location: there === null ? '/done' : there.url('/done') } })
      server.script('/done', { refuse: true })
    }
    const chain = chainTo(one, ...above([one.origin, other.origin]), interceptors.redirect({ maxRedirections: 1 }))
    await errorOf(call(chain, one.url('/order'), order))
    const sent = servers.flatMap(({ requests }) => requests.filter(({ path }) => path === '/order'))
    expect(sent).toHaveLength(1)
  }
})
