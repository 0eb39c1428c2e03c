// A function of fallback() may throw what has no text, such as a symbol. It was to be noted why nothing took the place of
// the failure: that threw in turn, the call never ended, and the process was told of an unhandled rejection.
import { type CallRecord, fallback, logging } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, serve } from '../dispatchers/retry-servers.ts'

it.each([
  [Symbol('no'), 'Symbol(no)'],
  [Object.create(null), 'an object'],
  [{ code: Symbol('code'), name: 'Odd' }, 'Odd'],
  [Object.assign(new Error('no'), { code: 'E_NO' }), 'E_NO'],
  [null, 'null'],
])('45: %o is as good a reason as an error', async (thrown, noted) => {
  const server = await serve({ protocol: 'h1', respond: { status: 503, body: 'down' } })
  const records: CallRecord[] = []
  const keep = (record: object) => void records.push(record as CallRecord)
  const respond = () => Promise.reject(thrown)
  const chain = chainTo(server, logging({ logger: { debug() {}, info: keep, warn: keep } }), fallback({ respond }))
  expect(await call(chain, server.url('/'))).toEqual({ status: 503, text: 'down' })
  expect(records[0]?.notes).toEqual({ 'fallback.error': noted })
})
