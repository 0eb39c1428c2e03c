import { type SeededRandom, type StepOptions, seededRandom, startServer } from 'roundtripper/testing'
import { expect, it, onTestFinished } from 'vitest'
import { agentFor, wires } from './support.ts'

const bodies = ['', 'short', ['a', 'b'], Buffer.alloc(40_000), Buffer.alloc(300_000)]

const faults: readonly StepOptions[] = [
  { reset: 'before-head' },
  { reset: 'in-body' },
  { reset: 'in-body', resetCode: 0 },
  { cut: true },
  { hang: 'head' },
  { hang: 'body' },
  { refuse: true },
  { goaway: {} },
  { destroySession: 'before-head' },
  { destroySession: 'in-body' },
]

function randomStep(random: SeededRandom): StepOptions {
  return {
    body: random.pick(bodies),
    ...(random.chance(0.3) && { delay: random.integer(0, 3) }),
    ...(random.chance(0.2) && { bodyDelay: 1 }),
    ...(random.chance(0.2) && { trailers: { 'x-sum': '1' } }),
    ...(random.chance(0.2) && { early: [{ headers: { link: '</a>' } }] }),
    ...(random.chance(0.2) && { waitForBody: false }),
    ...(random.chance(0.4) && random.pick(faults)),
  }
}

it.each(wires)('$protocol: after a random mixture of answers, faults and aborts nothing is open', async (wire) => {
  const random = seededRandom()
  console.log(`random faults, ${wire.protocol}: seed ${random.seed}`)
  const server = await startServer({ protocol: wire.protocol, respond: () => randomStep(random) })
  const agent = agentFor(server, wire.protocol)
  onTestFinished(() => agent.destroy())
  let left = 3000
  const caller = async () => {
    while (server.count() < 300 && left-- > 0) {
      const controller = new AbortController()
      const timer = setTimeout(() => controller.abort(), random.integer(2, 80))
      // undici freezes the process when it aborts an HTTP/2 upload that waits for flow control.
      const upload = wire.version === '1.1' && random.chance(0.4)
      try {
        const response = await agent.request({
          origin: server.origin,
          path: '/',
          method: upload ? 'POST' : 'GET',
          body: upload ? Buffer.alloc(random.integer(1, 100_000)) : null,
          signal: controller.signal,
        })
        await response.body.dump()
      } catch {
        // Faults and aborts are what this is about.
      }
      clearTimeout(timer)
      if (random.chance(0.02)) await server.resetConnections()
    }
  }
  await Promise.all(Array.from({ length: 16 }, caller))
  await agent.destroy()
  await server.close()
  expect(server.connections.open).toBe(0)
  expect(server.count()).toBeGreaterThanOrEqual(300)
  const ends = await Promise.all(server.requests.map(({ closed }) => closed))
  const seen = new Set(ends.map(({ how }) => how))
  expect([...seen].sort()).toEqual(['aborted', 'answered', 'faulted'])
})
