// node:http2 sends no head above 64 KiB, and closes the session that was asked to. Such a call went out again and again, seventeen
// times, and was then told as one that had not arrived: a retry above began anew.
import { compose, retry } from 'roundtripper'
import { expect, it } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

const answered = ['start', 'head 200', 'data', 'end']

it('21, 33: a head that is too large for HTTP/2 is refused once, and its session stays', async () => {
  const server = await startFrameServer()
  const agent = h2cAgent()
  const chain = compose(agent, retry({ backoff: 1 }))
  for (const headers of [{ 'x-large': 'x'.repeat(65_500) }, { 'x-large': 'x'.repeat(500_000) }]) {
    expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    for (const dispatcher of [agent, chain]) {
      expect(await outcomeOf(send(dispatcher, server.origin, { headers }))).toEqual([
        'start',
        'error',
        'UND_ERR_INVALID_ARG',
      ])
    }
  }
  const most = { 'x-large': 'x'.repeat(65_350) }
  expect(await outcomeOf(send(agent, server.origin, { headers: most }))).toEqual(answered)
  expect([server.connections.length, server.streams]).toEqual([1, 3])
})
