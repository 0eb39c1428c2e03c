// A body of two codings was at its end, for whoever read it, as soon as the last decoder had been given everything: what it
// had not given yet was missing, and nobody was told.
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { ContentDecoder, readCodings } from '../../src/fetch/content-decoder.ts'

const text = 'abcdefgh'.repeat(40 * 1024)

// A reader that takes its time: longer than the decoders take to write.
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

it.each([
  ['br, deflate', deflateSync(brotliCompressSync(text))],
  ['gzip, br', brotliCompressSync(gzipSync(text))],
  ['deflate, gzip', gzipSync(deflateSync(text))],
  ['gzip', gzipSync(text)],
])('a body in %s that is read slowly is read whole', async (coding, bytes) => {
  const over = Promise.withResolvers<void>()
  let read = 0
  const decoder = new ContentDecoder(readCodings(coding) ?? [], {
    decoded(chunk) {
      read += chunk.byteLength
      decoder.pause()
      turns(20).then(() => decoder.resume())
    },
    decodedAll: over.resolve,
    decodingFailed: over.reject,
    decoderDrained() {},
  })
  decoder.write(bytes)
  decoder.end()

  await over.promise
  expect(read).toBe(text.length)
})
