// A handler may put an abort of its own on the controller it gets first, as undici's dump() does, to read on when its
// consumer gives up. A call in one object that was taken apart then came with another controller, which had the chain's.
import { classify, compose, createAgent, type Layers, standard } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { eventually } from '../dispatchers/retry-servers.ts'

const above: Record<string, () => Layers> = { 'one object': () => [], 'many objects': () => classify(() => undefined) }

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  it.each(Object.keys(above))('45: an abort that the consumer replaced stays replaced, in %s', async (name) => {
    const server = await startServer({ protocol, respond: { status: 404, body: 'none' } })
    const agent = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(async () => {
      await agent.destroy()
      await server.close()
    })
    const lines: string[] = []
    let over = false
    const chain = compose(agent, above[name]?.(), standard())
    chain.dispatch(
      { origin: server.origin, path: '/', method: 'GET' },
      {
        onRequestStart: (controller) => {
          controller.abort = () => lines.push('replaced')
        },
        onResponseStart: (controller) => controller.abort(new Error('given up')),
        onResponseEnd: () => {
          lines.push('end')
          over = true
        },
        onResponseError: (_, error) => {
          lines.push(error.message)
          over = true
        },
      },
    )
    await eventually(() => over)
    expect(lines).toEqual(['replaced', 'end'])
  })
})
