// A process of its own that calls through a rate limit on Redis, and tells what came of its calls.
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { compose, createAgent, RateLimitedError, rateLimit } from 'roundtripper'
import { redisStore } from 'roundtripper/redis'
import { request } from 'undici'
import type { ChildReport, ChildTask } from './processes.ts'

const task = JSON.parse(String(process.argv[2])) as ChildTask
const { port, origin, calls, every, limit, window, queue } = task

const warnings: string[] = []
process.on('warning', (warning: Error & { code?: string }) => warnings.push(String(warning.code)))

const client = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: 0, retryStrategy: () => 20 })
client.on('error', () => {})
const layer = rateLimit({ limit, window, queue, store: redisStore(client, { timeout: 20_000 }) })
const chain = compose(createAgent(), layer)
const report: ChildReport = { admitted: 0, refused: 0, lost: 0, warnings }

async function call(): Promise<void> {
  try {
    const { body } = await request(`${origin}/${process.pid}`, { dispatcher: chain })
    await body.text()
    report.admitted++
  } catch (error) {
    if (error instanceof RateLimitedError && error.retryAfter > 0) report.refused++
    else report.lost++
  }
}

// Both processes begin when both are there.
process.send?.('ready')
process.once('message', async () => {
  const under: Promise<void>[] = []
  for (let at = 0; at < calls; at++) {
    under.push(call())
    if (every > 0) await pause(every)
  }
  await Promise.all(under)
  client.disconnect()
  await chain.close()
  // A warning is told in a turn of its own.
  setImmediate(() => process.send?.(report, () => process.disconnect()))
})
