// A modelled world: virtual time, a server that is a model, callers by chance. Chains run in it as they are; see clock.ts,
// model-server.ts, load.ts and report.ts.
import { VirtualClock } from './clock.ts'

export { VirtualClock } from './clock.ts'
export {
  type CallerOptions,
  type CallRecord,
  ClosedLoop,
  type ClosedLoopOptions,
  exponential,
  logNormal,
  OpenLoop,
  type OpenLoopOptions,
} from './load.ts'
export { ModelServer, type ModelServerOptions, type Outage } from './model-server.ts'
export { quantile, type Report, report } from './report.ts'

/**
 * Runs something with a virtual clock in the place of the process's own, one at a time. Make chains inside, and let their
 * calls come to an end: what waits in a timer when this is over is never called.
 */
export async function inWorld<T>(run: (clock: VirtualClock) => Promise<T>): Promise<T> {
  const clock = new VirtualClock()
  const takeAway = clock.install()
  try {
    return await run(clock)
  } finally {
    takeAway()
  }
}
