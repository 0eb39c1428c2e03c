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
import { type Config, fromConfig } from 'roundtripper/config'
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
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the environment is written so
  const config: Config = { upstreams: { users: { hosts: ['https://10.0.0.7'], deadline: '${DEADLINE:-1000}' } } }
  await using configured = fromConfig(config, { env: {} })
  await configured.upstreams.users?.close()
  await telemetry.shutdown()
  // @ts-expect-error: an unknown option is no option
  retry({ attempts: 4 })
  return response.status
}

export const testingNames: readonly string[] = Object.keys(testing)
