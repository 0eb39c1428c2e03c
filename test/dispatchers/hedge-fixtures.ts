// What the tests of hedged calls share.
import type { HedgeOptions } from 'roundtripper'
import type { Gate, TestServer } from 'roundtripper/testing'
import { stopClock, turns } from './retry-servers.ts'

export const fixed = { delay: 100, percentile: false, budget: false } satisfies HedgeOptions

/** A clock that stands still, and not at 0: by that the kit knows what has not happened yet. */
export async function stoppedClock() {
  const clock = stopClock()
  await clock.advance(1)
  return clock
}

/** The requests that have come in, once there are so many. */
export async function arrived(server: TestServer, count: number): Promise<void> {
  await server.until(() => server.requests.length === count)
  await turns()
}

/** A first attempt that stands still, and one that answers. */
export function slowThenFast(slow: Gate) {
  return [{ hold: slow.promise, body: 'slow' }, { body: 'fast' }]
}
