// close() and destroy() in every place where a call can be: while it connects, in a queue, in a backoff, while it sends its
// body, while it waits for its head, and in the body of its answer.
import { Readable } from 'node:stream'
import { bulkhead, compose, createAgent, deadline, retry } from 'roundtripper'
import { gate, startBlackhole } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, errorOf, eventually, protocols, send, serve, turns } from './retry-servers.ts'

interface Stage {
  readonly chain: Dispatcher
  /** The call, its answer read to the end. */
  readonly answer: Promise<unknown>
  /** Lets the call go on to its end; absent where it never will. */
  readonly goOn?: () => void
}

type Protocol = (typeof protocols)[number]['protocol']

function chainOver(ca: string | undefined, bound = 1) {
  const slots = bulkhead({ limit: bound, queue: 5 })
  const agent = createAgent({ connect: ca === undefined ? {} : { ca } })
  const chain = compose(agent, deadline(), retry({ backoff: 20_000, maxDelay: 20_000 }), slots)
  onTestFinished(() => chain.destroy())
  return { chain, slots }
}

async function connecting(protocol: Protocol): Promise<Stage> {
  const hole = await startBlackhole()
  onTestFinished(() => hole.close())
  const { chain } = chainOver(undefined)
  const scheme = protocol === 'h2' ? 'https' : 'http'
  return { chain, answer: call(chain, `${scheme}://127.0.0.1:${hole.port}/`) }
}

async function queued(protocol: Protocol): Promise<Stage> {
  const held = gate()
  const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': { body: 'ok' } } })
  const { chain, slots } = chainOver(server.ca)
  const busy = call(chain, server.url('/busy'))
  busy.catch(() => {})
  await server.until(() => server.count('/busy') === 1)
  const answer = call(chain, server.url())
  await eventually(() => slots.state()[server.origin]?.queued === 1)
  return { chain, answer, goOn: held.open }
}

async function backingOff(protocol: Protocol): Promise<Stage> {
  const server = await serve({ protocol, respond: 503 })
  const { chain, slots } = chainOver(server.ca)
  const answer = call(chain, server.url())
  await server.until(() => server.count() === 1)
  await eventually(() => slots.state()[server.origin]?.inUse === 0)
  await turns()
  return { chain, answer }
}

async function sending(protocol: Protocol): Promise<Stage> {
  const server = await serve({ protocol })
  const { chain } = chainOver(server.ca)
  const body = new Readable({ read() {} })
  body.push('begun')
  const answer = call(chain, server.url(), { method: 'PUT', body })
  await server.until(() => server.count() === 1)
  return { chain, answer, goOn: () => body.push(null) }
}

async function waiting(protocol: Protocol): Promise<Stage> {
  const held = gate()
  const server = await serve({ protocol, respond: { hold: held.promise, body: 'ok' } })
  const { chain } = chainOver(server.ca)
  const answer = call(chain, server.url())
  await server.until(() => server.count() === 1)
  return { chain, answer, goOn: held.open }
}

async function reading(protocol: Protocol): Promise<Stage> {
  const held = gate()
  const server = await serve({ protocol, respond: { body: ['first', held.promise, 'last'] } })
  const { chain } = chainOver(server.ca)
  const { body } = await send(chain, server.url())
  return { chain, answer: body.text(), goOn: held.open }
}

async function unread(protocol: Protocol): Promise<Stage> {
  const server = await serve({ protocol, respond: { body: 'x'.repeat(1_000_000) } })
  const { chain } = chainOver(server.ca)
  const { body } = await send(chain, server.url())
  await eventually(() => body.readableLength >= body.readableHighWaterMark)
  let read: () => void = () => {}
  const answer = new Promise<void>((resolve) => {
    read = resolve
  }).then(() => body.text())
  body.on('error', () => read())
  return { chain, answer, goOn: read }
}

const stages = { connecting, queued, backingOff, sending, waiting, reading, unread }

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it.each(Object.entries(stages))('46: destroy() fails a call that is %s, at once', async (_, begin) => {
    const { chain, answer } = await begin(protocol)
    const failed = errorOf(answer)
    let over = false
    failed.then(() => {
      over = true
    })
    const destroyed = chain.destroy()
    await turns(3)
    expect(over).toBe(true)
    expect(await failed).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    await destroyed
    expect(await errorOf(call(chain, 'http://127.0.0.1:1/'))).toMatchObject({ code: 'UND_ERR_DESTROYED' })
  })

  const finite = Object.entries(stages).filter(([name]) => name !== 'connecting' && name !== 'backingOff')
  it.each(finite)('46: close() waits for a call that is %s', async (_, begin) => {
    const { chain, answer, goOn } = await begin(protocol)
    let closed = false
    const closing = chain.close().then(() => {
      closed = true
    })
    expect(await errorOf(call(chain, 'http://127.0.0.1:1/'))).toMatchObject({ code: 'UND_ERR_CLOSED' })
    await turns()
    expect(closed).toBe(false)
    goOn?.()
    await answer
    await closing
  })
})
