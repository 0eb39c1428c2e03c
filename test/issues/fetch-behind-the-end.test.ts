// Bytes behind the end of a compressed body: the transport went on reading them for as long as they came, after the caller
// had the whole body (of gzip, another one behind it is a part of it, RFC 1952 §2.2). Behind one of `deflate` nothing was read any more, and the body never came to its end.
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

const text = 'all there is of it'
const codings = [
  ['gzip', gzipSync(text)],
  ['deflate', deflateSync(text)],
  ['deflate', deflateRawSync(text)],
  ['gzip, gzip', gzipSync(gzipSync(text))],
] as const

async function readStream(response: Response): Promise<string> {
  let read = ''
  for await (const chunk of response.body as ReadableStream<Uint8Array>) read += Buffer.from(chunk).toString()
  return read
}

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  describe.each(codings)('%s', (coding, bytes) => {
    const headers = { 'content-encoding': coding }

    it('what never ends behind a body is left', async () => {
      const body = [bytes, ...new Array<Buffer>(512).fill(Buffer.alloc(1024))]
      const { server, agent } = await serve({ protocol, respond: { headers, body, hang: 'body' } })

      const response = await createFetch(agent)(server.url())

      expect(await response.text()).toBe(text)
      expect(await server.requests[0]?.closed).toMatchObject({ how: 'aborted' })
    })

    it.each([
      ['whole', (response: Response) => response.text()],
      ['as a stream', readStream],
    ])('a little behind a body does not matter, read %s', async (_how, read) => {
      const { server, agent } = await serve({ protocol, respond: { headers, body: [bytes, bytes, '\0\0\0'] } })

      expect(await read(await createFetch(agent)(server.url()))).toBe(coding === 'deflate' ? text : text + text)
      expect(await server.requests[0]?.closed).toMatchObject({ how: 'answered' })
    })
  })
})
