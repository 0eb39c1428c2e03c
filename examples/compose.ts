// A chain, layer by layer: `npm run example -- compose [URL]`. The record of logging() goes to standard error.
import { request } from 'undici'
import { target } from './support/target.ts'

const { url, close } = await target([503, 503, { body: '[{"name":"Ada"}]' }])

// #region compose
import {
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  logging,
  retry,
  tracing,
} from 'roundtripper'

// Read from top to bottom: the first is outermost. (agent.compose(a, b) reads the other way round.)
const api = compose(
  createAgent(),
  tracing(),
  logging(),
  retry({ maxAttempts: 4 }),
  circuitBreaker({ failureShare: 0.5 }), // sees every attempt
  bulkhead({ limit: 32, queue: 64 }), // holds no slot while a retry waits
  attemptTimeout(2_000), // so that a server that hangs counts as failing
)
const fetch = createFetch(api) // or undici.request(url, { dispatcher: api })
// #endregion

const response = await fetch(url)
console.log(`fetch:   ${response.status}, ${(await response.text()).length} characters`)

const { statusCode, body } = await request(url, { dispatcher: api })
console.log(`request: ${statusCode}, ${(await body.text()).length} characters`)

await api.close()
await close()
