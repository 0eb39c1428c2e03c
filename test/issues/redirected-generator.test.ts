// undici's redirect() hands on the body as it is at first, and wraps it for the next hop: that a generator has been read
// by then, the wrapper does not know. The second request arrived with an empty body, and was answered with a 200.
import { attemptTimeout, compose, createAgent, InvalidRequestError } from 'roundtripper'
import { type Step, startServer } from 'roundtripper/testing'
import { interceptors, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

async function* letters() {
  yield 'a'
  yield 'b'
}

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  it.each(['outside', 'inside'])('16: a generator is not sent empty by a redirect %s', async (side) => {
    const moved: Step = { status: 307, headers: { location: '/there' } }
    const server = await startServer({ protocol, respond: { '/here': moved, '/there': 200 } })
    const redirect = interceptors.redirect({ maxRedirections: 2 })
    const layers = side === 'outside' ? [redirect, attemptTimeout(5_000)] : [attemptTimeout(5_000), redirect]
    const chain = compose(createAgent({ connect: { ca: server.ca as string } }), layers)
    onTestFinished(async () => {
      await chain.destroy()
      await server.close()
    })
    const sent = request(server.url('/here'), { dispatcher: chain, method: 'PUT', body: letters() as never })
    await expect(sent).rejects.toBeInstanceOf(InvalidRequestError)
    expect(server.requests.filter(({ complete, path }) => complete && path === '/there')).toEqual([])
  })
})
