import { attemptTimeout, balance, bulkhead, type CallRecord, canary, logging, retry, route } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve, stopClock } from '../dispatchers/retry-servers.ts'

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

// With the redirect above them the same was lost: the edge over the redirect took itself for the one next to the server.
it.each([
  [
    'a route',
    (one: string, other: string) =>
      route([
        { path: '/order', to: one },
        { path: '/done', to: other },
      ]),
  ],
  ['a group', (one: string, other: string) => balance({ hosts: [one, other], algorithm: 'roundRobin' })],
  ['a canary', (one: string) => canary({ variants: { one: { weight: 1, to: one } } })],
])('15: nor is one below a redirect that %s sends on', async (_, below) => {
  const servers = [await serve({ protocol: 'h2' }), await serve({ protocol: 'h2' })]
  const [one, other] = servers as [(typeof servers)[0], (typeof servers)[0]]
  for (const server of servers) {
    server.script('/order', { status: 303, headers: { location: '/done' } })
    server.script('/done', { refuse: true })
  }
  const redirect = interceptors.redirect({ maxRedirections: 1 })
  const chain = chainTo(one, retry(quick), redirect, below(one.origin, other.origin))
  await errorOf(call(chain, 'http://shop/order', order))
  expect(servers.flatMap(({ requests }) => requests.filter(({ path }) => path === '/order'))).toHaveLength(1)
})

it('19: nor does the clock of an attempt run while it is queued behind a route', async () => {
  const held = gate()
  const server = await serve({ protocol: 'h2', respond: { hold: held.promise } })
  const slots = bulkhead({ limit: 1, queue: 1 })
  const redirect = interceptors.redirect({ maxRedirections: 1 })
  const first = call(chainTo(server, slots), server.url('/'))
  await server.nextRequest()
  const clock = stopClock()
  const chain = chainTo(server, attemptTimeout(1_000), redirect, route([{ to: server.origin }]), slots)
  const second = call(chain, 'http://shop/')
  await clock.advance(2_000)
  held.open()
  expect([(await first).status, (await second).status]).toEqual([200, 200])
})
