// What a consumer threw in onResponseError went to whoever told it: a pool that was about to fail the other calls, an agent
// that was being destroyed, another call's dispatch. The others were then never told, and connections stayed open.
import type { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Consumer } from '../contract/consumer.ts'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send, turn } from '../http2/support.ts'

const thrown = new Error('thrown by the consumer')
const throwIt = () => {
  throw thrown
}

/** What nobody caught, in place of the test runner's own listeners. */
function uncaught(): unknown[] {
  const seen: unknown[] = []
  const usual = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => seen.push(error))
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of usual) process.on('uncaughtException', listener)
  })
  return seen
}

describe('an error thrown in onResponseError', () => {
  it('45: is uncaught, and the calls that wait for the same connection are still told', async () => {
    const seen = uncaught()
    const agent = h2cAgent()
    const server = await startFrameServer()
    const { origin } = server
    server.close()
    const calls = [send(agent, origin, { on: { error: throwIt } }), send(agent, origin)]
    for (const call of calls) expect(await outcomeOf(call)).toEqual(['error', 'ECONNREFUSED'])
    await turn()
    expect(seen).toEqual([thrown])
  })

  it('46: does not keep destroy() from the other calls and the connections', async () => {
    const seen = uncaught()
    const server = await startFrameServer()
    server.onStream = () => {}
    const agent = h2cAgent()
    const calls = [send(agent, server.origin, { on: { error: throwIt } }), send(agent, server.origin)]
    await server.until(() => server.streams === 2)
    await agent.destroy(new Error('over'))
    for (const call of calls) expect(call.events).toEqual(['start', 'error'])
    await turn()
    expect(seen).toEqual([thrown])
  })

  it('45: is not told to the same consumer as an error of its dispatch', async () => {
    const seen = uncaught()
    const server = await startFrameServer()
    const agent = h2cAgent()
    await send(agent, server.origin).over
    const consumer = new Consumer({ start: throwIt, error: throwIt })
    agent.dispatch({ origin: server.origin, path: '/', method: 'GET' } as Dispatcher.DispatchOptions, consumer)
    await turn()
    expect(consumer.events).toEqual(['start', 'error'])
    expect(seen).toEqual([thrown])
  })

  it('46, 47: after one thrown in onResponseEnd leaves no stream behind', async () => {
    uncaught()
    const server = await startFrameServer()
    const agent = h2cAgent()
    await send(agent, server.origin, { on: { end: throwIt, error: throwIt } }).over
    await turn()
    expect(agent.stats[server.origin]).toMatchObject({ streams: 0, idle: 1 })
    await agent.close()
  })
})
