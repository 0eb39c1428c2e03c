// With expectContinue an answer may come in place of 100, and the body is then never read. A stream given as body was not told: a
// file stayed open.
import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

it('a stream that the server did not ask for is destroyed with the answer', async () => {
  const server = await startFrameServer()
  const body = new Readable({ read() {} })
  const call = send(h2cAgent(), server.origin, { method: 'PUT', body, expectContinue: true })
  expect(await outcomeOf(call)).toEqual(['start', 'head 200', 'data', 'end'])
  expect(body.destroyed).toBe(true)
})
