// What a user's project sees of the packed package: compiled there, strictly, with the package's own types checked too.
import {
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  installFetch,
  logging,
  rateLimit,
  retry,
  standard,
  tracing,
} from 'roundtripper'
import { redisStore } from 'roundtripper/redis'
import * as testing from 'roundtripper/testing'
import { startTracing } from 'roundtripper/tracing'

export async function use(url: string): Promise<number> {
  const telemetry = startTracing({ serviceName: 'consumer' })
  const api = compose(
    createAgent(),
    tracing(),
    logging(),
    rateLimit({ limit: 10, window: 1000, store: redisStore({}) }),
    retry({ maxAttempts: 4 }),
    circuitBreaker({ failureShare: 0.5 }),
    bulkhead({ limit: 32, queue: 64 }),
  )
  const response: Response = await createFetch(api)(url)
  const uninstall: () => void = installFetch(compose(createAgent(), standard()))
  uninstall()
  await api.close()
  await telemetry.shutdown()
  // @ts-expect-error: an unknown option is no option
  retry({ attempts: 4 })
  return response.status
}

export const testingNames: readonly string[] = Object.keys(testing)
