// A layer of one's own, which adds a header: `npm run example -- own-layer [URL]`.
import { Agent, request } from 'undici'
import { target } from './support/target.ts'

const { url, close } = await target([503, { echo: true }])

// #region own-layer
import { compose, createAgent, type Layer, retry } from 'roundtripper'

/** Adds `authorization: Bearer ...`. Below retry() every attempt asks for the token anew; above it, every call once. */
function bearer(token: () => string): Layer {
  return (dispatch) =>
    function bearer(opts, handler) {
      const headers = [...flat(opts.headers), 'authorization', `Bearer ${token()}`]
      return dispatch({ ...opts, headers }, handler) // the caller's own options stay as they are
    }
}

type Headers = Parameters<ReturnType<Layer>>[0]['headers']
type Pair = readonly [name: string, value: string | readonly string[] | undefined]

/** Names and values in turn: one of the three forms that undici takes, and the one into which the others go. */
function flat(headers: Headers): string[] {
  if (!headers) return []
  if (Array.isArray(headers) && typeof headers[0] === 'string') return headers as string[]
  const pairs = Symbol.iterator in headers ? (headers as Iterable<Pair>) : Object.entries(headers)
  return [...pairs].flatMap(([name, values]) => [values ?? []].flat().flatMap((value) => [name, `${value}`]))
}

let issued = 0
const api = compose(
  createAgent(),
  retry(),
  bearer(() => `token-${++issued}`),
)
// #endregion

const { statusCode, body } = await request(url, { dispatcher: api, headers: { accept: 'application/json' } })
console.log(`in compose: ${statusCode}, ${issued} tokens for its attempts`)
console.log((await body.text()).slice(0, 400))
await api.close()

// The same layer in undici's own compose, whose last is outermost.
const agent = new Agent().compose(bearer(() => 'token-of-my-own'))
const again = await request(url, { dispatcher: agent })
console.log(`\nin agent.compose: ${again.statusCode}`)
console.log((await again.body.text()).slice(0, 400))
await agent.close()
await close()
