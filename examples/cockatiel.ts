// Policies of cockatiel in the chain: `npm run example -- cockatiel [URL]`.
import { target } from './support/target.ts'

const { url, close } = await target([503, 503, { body: '[{"name":"Ada"}]' }])

// #region cockatiel
import { ConsecutiveBreaker, circuitBreaker, ExponentialBackoff, handleAll, retry, wrap } from 'cockatiel'
import { compose, createAgent, createFetch, fromCockatiel, type Outcome, tracing } from 'roundtripper'

// A response is no error to a policy: say which outcomes are failures too.
const failures = handleAll.orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')

const policy = wrap(
  retry(failures, { maxAttempts: 3, backoff: new ExponentialBackoff({ initialDelay: 50 }) }),
  circuitBreaker(failures, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(5) }),
)
const api = compose(createAgent(), tracing(), fromCockatiel(policy))
const fetch = createFetch(api)
// #endregion

const response = await fetch(url)
console.log(`${response.status}, ${(await response.text()).length} characters`)
await api.close()
await close()
