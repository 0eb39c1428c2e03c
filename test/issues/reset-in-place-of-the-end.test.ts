// Node's own HTTP/2 server resets a stream with NO_ERROR where the END_STREAM of a larger answer belongs, if its handler did
// not read the request: nearly every answer of more than 64 KiB failed as cut off.
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createAgent } from 'roundtripper'
import { devCertificate } from 'roundtripper/testing'
import { request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

const large = 'x'.repeat(8192)

async function answerWith(length: number | undefined, pieces: readonly string[], code: number) {
  const server = await startFrameServer()
  server.onStream = (connection, stream) => {
    connection.head(stream, false, length)
    for (const piece of pieces) connection.data(stream, piece)
    connection.reset(stream, code)
  }
  return server
}

describe('a reset with NO_ERROR in the place of END_STREAM', () => {
  it('ends an answer whose length is met', async () => {
    const server = await answerWith(6, ['a part'], 0)
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toEqual(['start', 'head 200', 'data', 'end'])
  })

  it('ends an answer without a length that did not go out at once', async () => {
    const server = await answerWith(undefined, [large, large, 'more'], 0)
    const outcome = await outcomeOf(send(h2cAgent(), server.origin))
    expect(outcome.at(-1)).toBe('end')
  })

  it.each([
    ['less than its length', 20_000, [large, large], 0],
    ['as much as went out at once', undefined, [large, large], 0],
  ] as const)('is an error after %s', async (_name, length, pieces, code) => {
    const server = await answerWith(length, pieces, code)
    const outcome = await outcomeOf(send(h2cAgent(), server.origin))
    expect(outcome).toContain('error')
    expect(outcome).not.toContain('end')
  })

  it.each([2, 8])('is not meant by code %i', async (code) => {
    const server = await answerWith(undefined, [large, large, large], code)
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toContain('ERR_HTTP2_STREAM_ERROR')
  })

  it.each([true, false])("by Node's own server leaves answers whole (with a length: %s)", async (hasLength) => {
    const { key, cert, ca } = await devCertificate()
    const body = Buffer.alloc(200_000, 'x')
    const server = createSecureServer({ key, cert }, (_request, response) => {
      if (hasLength) response.setHeader('content-length', body.length)
      response.end(body)
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const agent = createAgent({ connect: { ca: ca ?? cert } })
    onTestFinished(async () => {
      await agent.destroy()
      server.close()
    })
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const lengths = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const answer = await request(url, { dispatcher: agent })
        return (await answer.body.arrayBuffer()).byteLength
      }),
    )
    expect(lengths).toEqual(new Array(40).fill(body.length))
  })
})
