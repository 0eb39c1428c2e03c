// A fallback to another upstream has attempts of its own. Under retry() and hedge() together it had none to repeat with:
// those of the first upstream counted against it. The call's record counted them only where the other one answered, and
// an error that a foreign layer had made of the other one's response was passed on in the place of the first failure.
import { type CallRecord, compose, createAgent, fallback, hedge, logging, retry } from 'roundtripper'
import { interceptors } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { call, chainTo, quick, serve } from '../dispatchers/retry-servers.ts'

function recorder() {
  const records: CallRecord[] = []
  const keep = (record: object) => void records.push(record as CallRecord)
  return { records, layer: logging({ logger: { debug() {}, info: keep, warn: keep } }) }
}

it('31: retry and hedge send there what they send here', async () => {
  const server = await serve({ protocol: 'h1c', respond: 503 })
  const other = await serve({ protocol: 'h1c', respond: [503, 503, { body: 'fine' }] })
  const { records, layer } = recorder()
  const chain = chainTo(
    server,
    layer,
    fallback({ upstream: other.origin }),
    retry({ ...quick, maxAttempts: 2, budget: false }),
    hedge({ budget: false }),
  )
  expect(await call(chain, server.url('/'))).toEqual({ status: 200, text: 'fine' })
  expect([server.requests.length, other.requests.length]).toEqual([3, 3])
  expect(records[0]?.attempts).toBe(6)
})

it('38: the record of a call counts them also where the other upstream does not answer', async () => {
  const server = await serve({ protocol: 'h1c', respond: 503 })
  const other = await serve({ protocol: 'h1c', respond: { reset: 'before-head' } })
  const { records, layer } = recorder()
  const chain = chainTo(server, layer, fallback({ upstream: other.origin }), retry({ ...quick, maxAttempts: 2 }))
  expect((await call(chain, server.url('/'))).status).toBe(503)
  expect(records[0]?.attempts).toBe(4)
})

it('13: an error made of its response is no answer', async () => {
  const server = await serve({ protocol: 'h1c', respond: { status: 503, body: 'the first' } })
  const other = await serve({ protocol: 'h1c', respond: 500 })
  const elsewhere = compose(
    createAgent(),
    interceptors.responseError(),
    (dispatch) => (opts, handler) => dispatch({ ...opts, origin: other.origin }, handler),
  )
  onTestFinished(() => elsewhere.destroy())
  const layer = fallback({ upstream: elsewhere })
  expect(await call(chainTo(server, layer), server.url('/'))).toEqual({ status: 503, text: 'the first' })
  expect(layer.state()[server.origin]).toEqual({ served: 0, failed: 1 })
})
