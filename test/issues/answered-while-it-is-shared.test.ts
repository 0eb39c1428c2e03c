// An answer may come before dispatch() returns: of a MockAgent, of a cache, of a layer that refuses. deduplicate() had not
// let its caller share by then, and sent the request a second time.
import { circuitBreaker, compose, deduplicate } from 'roundtripper'
import { Dispatcher, MockAgent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, serve } from '../dispatchers/retry-servers.ts'

it('48: a MockAgent is asked once', async () => {
  const mock = new MockAgent()
  onTestFinished(() => mock.close())
  mock.disableNetConnect()
  mock.get('http://a.test').intercept({ path: '/' }).reply(200, 'mocked')
  expect(await call(compose(mock, deduplicate()), 'http://a.test/')).toEqual({ status: 200, text: 'mocked' })
})

it('3: an open circuit refuses once', async () => {
  const server = await serve({ protocol: 'h1c' })
  const breaker = circuitBreaker()
  breaker.force('open')
  expect(await errorOf(call(chainTo(server, deduplicate(), breaker), server.url('/')))).toMatchObject({
    code: 'ERR_CIRCUIT_OPEN',
  })
  expect(breaker.state()[server.origin]?.refused).toBe(1)
})

class Throwing extends Dispatcher {
  override dispatch(): boolean {
    throw new Error('no')
  }
}

it('45: a dispatcher that throws fails each call, and no later one hangs', async () => {
  const dispatcher = new Throwing().compose(deduplicate())
  for (const _ of [1, 2]) expect(await errorOf(call(dispatcher, 'http://a.test/'))).toMatchObject({ message: 'no' })
})
