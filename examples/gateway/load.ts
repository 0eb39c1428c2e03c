import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { SeededRandom } from 'roundtripper/testing'
import { request } from 'undici'

/** Calls a second. */
const rate = 150
const callers = 32
const turn = 20
const paths = ['orders', 'users', 'catalog'] as const

/** What became of calls to the gateway. */
export interface Called {
  readonly calls: number
  readonly failed: number
}

/** Calls the gateway for a while, each service alike, whether or not the calls before are over. */
export async function callFor(
  milliseconds: number,
  url: string,
  random: SeededRandom,
  signal?: AbortSignal,
): Promise<Called> {
  const limit = pLimit(callers)
  const results: Promise<boolean>[] = []
  const began = performance.now()
  while (performance.now() - began < milliseconds && signal?.aborted !== true) {
    const due = Math.floor(((performance.now() - began) / 1_000) * rate)
    while (results.length < due) {
      results.push(limit(call, `${url}/${random.pick(paths)}/${results.length}`))
    }
    await delay(turn)
  }
  const ended = await Promise.all(results)
  return { calls: ended.length, failed: ended.filter((isGood) => !isGood).length }
}

async function call(url: string): Promise<boolean> {
  const { statusCode, body } = await request(url)
  await body.dump()
  return statusCode < 400
}
