// A policy of one's own: `npm run example -- own-policy [URL]`.
import { request } from 'undici'
import { target } from './support/target.ts'

const { url, close } = await target({ body: 'hello' })

// #region own-policy
import { compose, createAgent, guard, isShed, type Policy, RateLimitedError, retry } from 'roundtripper'

/** At most `limit` calls a second, and a burst of as many: a bucket that fills up as time goes by. */
function tokenBucket(limit: number, now = () => performance.now()): Policy {
  let tokens = limit
  let filledAt = now()
  return {
    name: 'tokenBucket',
    acquire(scope) {
      const at = now()
      tokens = Math.min(limit, tokens + ((at - filledAt) / 1_000) * limit)
      filledAt = at
      scope.note('tokens', Math.floor(tokens)) // shows in logs and spans
      if (tokens < 1) {
        const retryAfter = ((1 - tokens) / limit) * 1_000
        throw new RateLimitedError(`more than ${limit} calls a second`, { origin: scope.origin, retryAfter })
      }
      tokens -= 1
      return null // nothing to give back when the call is over
    },
  }
}

const api = compose(createAgent(), guard(tokenBucket(5)), retry())
// #endregion

for (let call = 1; call <= 8; call++) {
  try {
    const { statusCode, body } = await request(url, { dispatcher: api })
    await body.dump()
    console.log(`call ${call}: ${statusCode}`)
  } catch (error) {
    // A refusal is no failure of the server: nothing was sent.
    if (!isShed(error)) throw error
    const { code, message, retryAfter } = error as RateLimitedError
    console.log(`call ${call}: ${code}, ${message}, try again in ${Math.ceil(retryAfter)} ms`)
  }
}

await api.close()
await close()
