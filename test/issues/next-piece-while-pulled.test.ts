// A body whose sender goes on synchronously when it is let go on brought its next piece while the stream was still being
// given the one before, which was lost: of a body of 65,537 bytes nothing came, and no error.
import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

const sizes = [65_536, 65_537, 200_000, 1_000_000]
const everyProtocol = [...protocols.map(({ protocol }) => protocol), 'h1c' as const]

describe.each(everyProtocol)('a body read as a stream over %s', (protocol) => {
  it.each(sizes)('is whole with %i bytes', async (size) => {
    const body = Buffer.from(Array.from({ length: size }, (_, at) => at % 251))
    const { server, agent } = await serve({ protocol, respond: { body } })
    const response = await createFetch(agent)(server.url())
    const pieces: Uint8Array[] = []
    // Time enough for as much to arrive as does before the sender is held back.
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) pieces.push(piece)
    expect(Buffer.concat(pieces).equals(body)).toBe(true)
  })
})
