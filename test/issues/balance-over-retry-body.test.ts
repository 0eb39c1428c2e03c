// balance() keeps nothing of a streamed body: once it has been read from, the call stays with its host. A retry below it
// found that record of nothing, and could not send the body again.
import { balance, retry } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

async function* pieces() {
  yield Buffer.from('one ')
  yield Buffer.from('two')
}

it.each(protocols)(
  '16: a retry below balance() sends a streamed body whole again over $version',
  async ({ protocol }) => {
    const server = await serve({ protocol, respond: [503, { body: 'fine' }] })
    const chain = chainTo(server, balance({ hosts: [server.origin] }), retry(quick))
    const answer = await call(chain, 'http://users/', { method: 'PUT', body: pieces() })
    expect(answer).toEqual({ status: 200, text: 'fine' })
    expect(server.requests.map(({ body }) => body.toString())).toEqual(['one two', 'one two'])
  },
)
