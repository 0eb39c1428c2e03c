import {
  AttemptTimeoutError,
  attemptTimeout,
  bulkhead,
  DeadlineExceededError,
  deadline,
  type Layer,
} from 'roundtripper'
import { gate, startBlackhole } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, callByFetch, chainTo, errorOf, protocols, send, serve, stopClock, warmChainTo } from './retry-servers.ts'

/**
 * What comes first: the end of a call, or timers of this process set before it (a millisecond shorter) and after it
 * (20 ms longer). On a machine that stands still they are all late, but in order.
 */
async function orderAround(duration: number, begin: () => Promise<unknown>): Promise<string[]> {
  const order: string[] = []
  const timer = (delay: number, name: string) =>
    new Promise<void>((resolve) => {
      setTimeout(() => {
        order.push(name)
        resolve()
      }, delay)
    })
  const early = timer(duration - 1, 'early')
  const over = begin().then(() => order.push('call'))
  await Promise.all([early, over, timer(duration + 20, 'late')])
  return order
}

const bounds: readonly (readonly [string, (duration: number) => Layer, abstract new (...args: never[]) => Error])[] = [
  ['attemptTimeout', attemptTimeout, AttemptTimeoutError],
  ['deadline', deadline, DeadlineExceededError],
]

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  describe.each(bounds)('%s', (name, make, errorClass) => {
    it.each([10, 30])(
      '24: of %d ms is accurate to 20 ms on a connection; its slot is free at once',
      async (duration) => {
        const server = await serve({ protocol, respond: { '/warm': 200, '*': { hang: 'head' } } })
        const slots = bulkhead({ limit: 1, queue: 0 })
        const layers = name === 'deadline' ? [make(duration), slots] : [slots, make(duration)]
        const chain = await warmChainTo(server, layers)
        let error: unknown
        let inUse: number | undefined
        const begin = async () => {
          error = await errorOf(send(chain, server.url()))
          inUse = slots.state()[server.origin]?.inUse
        }
        expect(await orderAround(duration, begin)).toEqual(['early', 'call', 'late'])
        expect(error).toBeInstanceOf(errorClass)
        expect(error).toMatchObject({
          origin: server.origin,
          message: expect.stringContaining(`within ${duration} ms`),
        })
        expect(inUse).toBe(0)
      },
    )

    it('24: is accurate to 20 ms while the connection is still being made', async () => {
      const blackhole = await startBlackhole()
      onTestFinished(() => blackhole.close())
      const chain = chainTo({}, make(30))
      let error: unknown
      const begin = async () => {
        error = await errorOf(send(chain, blackhole.url()))
      }
      expect(await orderAround(30, begin)).toEqual(['early', 'call', 'late'])
      expect(error).toBeInstanceOf(errorClass)
    })

    it('24: ends a fetch, with itself as the cause', async () => {
      const server = await serve({ protocol, respond: { hang: 'head' } })
      const error = await errorOf(callByFetch(chainTo(server, make(30)), server.url()))
      expect(error).toMatchObject({ name: 'TypeError', message: 'fetch failed' })
      expect((error as Error).cause).toBeInstanceOf(errorClass)
    })

    it.each([
      ['request', call],
      ['fetch', callByFetch],
    ])('25: covers up to the head, and never cuts a body that is being read, through %s', async (_, by) => {
      const later = gate()
      const server = await serve({
        protocol,
        respond: { '/warm': 200, '*': { body: ['first ', later.promise, 'last'] } },
      })
      const chain = await warmChainTo(server, make(40))
      const { advance } = stopClock()
      let over = false
      const answer = by(chain, server.url()).finally(() => {
        over = true
      })
      await server.until(() => server.count() === 1)
      await advance(0)
      for (let step = 0; step < 5; step++) await advance(1_000)
      expect(over).toBe(false)
      later.open()
      expect(await answer).toEqual({ status: 200, text: 'first last' })
    })

    it('25: a head that comes in time ends its clock, also where nobody reads the body', async () => {
      const server = await serve({ protocol, respond: { body: 'short' } })
      const chain = await warmChainTo(server, make(40))
      const { advance } = stopClock()
      const { body } = await send(chain, server.url())
      await advance(10_000)
      expect(await body.text()).toBe('short')
    })
  })
})
