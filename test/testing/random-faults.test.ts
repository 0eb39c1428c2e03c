import { type SeededRandom, type StepOptions, seededRandom, startServer } from 'roundtripper/testing'
import { expect, it, onTestFinished } from 'vitest'
import { agentFor, wires } from './support.ts'

const bodies = ['', 'short', ['a', 'b'], Buffer.alloc(40_000), Buffer.alloc(300_000)]

const streamFaults: readonly StepOptions[] = [
  { reset: 'before-head' },
  { reset: 'in-body' },
  { reset: 'in-body', resetCode: 0 },
  { cut: true },
  { hang: 'head' },
  { hang: 'body' },
  { refuse: true },
  { goaway: {} },
]

const connectionFaults: readonly StepOptions[] = [{ destroySession: 'before-head' }, { destroySession: 'in-body' }]

function randomStep(random: SeededRandom, faults: readonly StepOptions[]): StepOptions {
  return {
    body: random.pick(bodies),
    ...(random.chance(0.3) && { delay: random.integer(0, 3) }),
    ...(random.chance(0.2) && { bodyDelay: 1 }),
    ...(random.chance(0.2) && { trailers: { 'x-sum': '1' } }),
    ...(random.chance(0.2) && { early: [{ headers: { link: '</a>' } }] }),
    ...(random.chance(0.2) && { waitForBody: false }),
    ...(random.chance(0.3) && random.pick(faults)),
  }
}

it.each(wires)('$protocol: after a random mixture of answers, faults and aborts nothing is open', async (wire) => {
  const random = seededRandom()
  console.log(`random faults, ${wire.protocol}: seed ${random.seed}`)
  // Node 22 and 24 do not always tell an HTTP/2 session over TLS that its connection is lost: all its calls then hang.
  const losesConnections = wire.version === '1.1' || wire.protocol === 'h2c'
  const faults = losesConnections ? [...streamFaults, ...connectionFaults] : streamFaults
  const controllers = new Map<string, AbortController>()
  const server = await startServer({
    protocol: wire.protocol,
    respond: ({ headers }) => {
      const step = randomStep(random, faults)
      // Only what has arrived is aborted, so that the run gets on however slow the machine is.
      if (step.hang !== undefined || random.chance(0.2)) {
        setTimeout(() => controllers.get(String(headers['x-call']))?.abort(), random.integer(0, 5))
      }
      return step
    },
  })
  const agent = agentFor(server, wire.protocol)
  onTestFinished(() => agent.destroy())
  let next = 0
  const caller = async () => {
    while (next < 300) {
      const call = String(next++)
      const controller = new AbortController()
      controllers.set(call, controller)
      // undici freezes the process when it aborts an HTTP/2 upload that waits for flow control.
      const upload = wire.version === '1.1' && random.chance(0.4)
      try {
        const response = await agent.request({
          origin: server.origin,
          path: '/',
          method: upload ? 'POST' : 'GET',
          headers: { 'x-call': call },
          body: upload ? Buffer.alloc(random.integer(1, 100_000)) : null,
          signal: controller.signal,
        })
        await response.body.dump()
      } catch {
        // Faults and aborts are what this is about.
      }
      if (losesConnections && random.chance(0.02)) await server.resetConnections()
    }
  }
  await Promise.all(Array.from({ length: 8 }, caller))
  await agent.destroy()
  await server.close()
  expect(server.connections.open).toBe(0)
  const ends = await Promise.all(server.requests.map(({ closed }) => closed))
  const seen = new Set(ends.map(({ how }) => how))
  expect([...seen].sort()).toEqual(['aborted', 'answered', 'faulted'])
})
