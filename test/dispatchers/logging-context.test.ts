// Records name the request that a call is made for, over whatever connection it goes and whoever writes them.
import { pino } from 'pino'
import { bulkhead, compose, contextFields, createAgent, logging, retry, runWithContext } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, type Line, loggedChain } from './logging-fixtures.ts'
import { protocols, serve } from './retry-servers.ts'

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it('38: each record has the request id and the tenant of its own call', async () => {
    const held = gate()
    const respond = { '/a': [{ status: 503, hold: held.promise }, 200], '*': 200 } as const
    const server = await serve({ protocol, respond })
    const agent = createAgent({ connections: 1, ...(server.ca === undefined ? {} : { connect: { ca: server.ca } }) })
    const { lines, chain } = loggedChain(agent, 'debug', retry({ backoff: 1 }), bulkhead({ limit: 1 }))
    onTestFinished(() => chain.destroy())
    const calls = [
      runWithContext({ requestId: 'r-a', tenant: 'acme' }, call, chain, server.url('/a')),
      runWithContext({ requestId: 'r-b' }, call, chain, server.url('/b')),
      call(chain, server.url('/c')),
    ]
    held.open()
    await Promise.all(calls)
    const named = lines.map(({ url, attempt = 'call', requestId, tenant }) =>
      [new URL(url as string).pathname, attempt, requestId, tenant].join(' '),
    )
    expect(named.toSorted()).toEqual([
      '/a 1 r-a acme',
      '/a 2 r-a acme',
      '/a call r-a acme',
      '/b 1 r-b ',
      '/b call r-b ',
      '/c 1  ',
      '/c call  ',
    ])
    expect(lines.filter(({ url }) => String(url).endsWith('/c')).some((line) => 'requestId' in line)).toBe(false)
  })
})

it('contextFields is a mixin of pino, and finds the call where the kit writes for it', async () => {
  const server = await serve({ protocol: 'h1c' })
  const lines: Line[] = []
  const write = (line: string) => lines.push(JSON.parse(line) as Line)
  const logger = pino({ base: null, timestamp: false, mixin: contextFields }, { write })
  const chain = compose(createAgent(), logging({ logger: { debug() {}, info: () => logger.info('told'), warn() {} } }))
  onTestFinished(() => chain.destroy())
  logger.info('outside')
  await runWithContext({ requestId: 'r-1', tenant: 'acme' }, async () => {
    logger.info('inside')
    await call(chain, server.url())
  })
  expect(lines).toEqual([
    { level: 30, msg: 'outside' },
    { level: 30, requestId: 'r-1', tenant: 'acme', msg: 'inside' },
    { level: 30, requestId: 'r-1', tenant: 'acme', msg: 'told' },
  ])
})
