import type { Lane } from './lanes.ts'
import { services } from './phases.ts'

/** Calls a second, to each service, in each lane. */
export const rate = 40

/**
 * The same calls in all lanes at the same moments, whether or not those before them are over: real users do not wait
 * for one another either. Returns what stops it.
 */
export function startLoad(lanes: readonly Lane[]): () => void {
  const beganAt = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - beganAt) / 1_000) * rate)
    for (; sent < due; sent++) {
      for (const lane of lanes) for (const service of services) lane.call(service, `/${service}/${sent}`)
    }
  }, 10)
  return () => clearInterval(timer)
}
