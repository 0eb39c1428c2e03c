// A server that fails as it is told, for tests of one's own: `npm run example -- testing`.
import assert from 'node:assert/strict'

// #region testing
import { compose, createAgent, createFetch, retry } from 'roundtripper'
import { startServer } from 'roundtripper/testing'

// HTTPS with HTTP/2 and HTTP/1.1, on a free port of 127.0.0.1. One step for each request, the last one repeats.
const server = await startServer({ respond: [503, { reset: 'before-head' }, { cut: true }, { body: 'whole' }] })

const api = compose(createAgent({ connect: { ca: server.ca! } }), retry({ backoff: 10 }))
const fetch = createFetch(api)

const cut = await fetch(server.url('/report')) // a 503, a reset stream, then a head that can be trusted ...
await assert.rejects(cut.text(), { message: 'terminated' }) // ... before a body that breaks: never spliced, never retried
assert.equal(await (await fetch(server.url('/report'))).text(), 'whole')
assert.equal(server.count('/report'), 4)
// #endregion

console.log(server.requests.map(({ method, path, protocol }) => `${method} ${path} over HTTP/${protocol}`).join('\n'))
await api.close()
await server.close()
