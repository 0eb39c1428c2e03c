// Of a body in `deflate` everything that came in one piece was inflated at once, however slowly it was read: 64 KiB may
// become 66 MB. The other codings gave no more than was read.

import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createInflate, deflateRawSync, deflateSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { ContentDecoder } from '../../src/fetch/content-decoder.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const size = 128 * 1024 * 1024
const zeros = Buffer.alloc(size)

it.each([
  ['zlib', deflateSync(zeros)],
  ['bare', deflateRawSync(zeros)],
])('a body in deflate (%s) is inflated as it is read', async (_format, bytes) => {
  const whole = deflateSync(zeros)
  let read = 0
  const over = Promise.withResolvers<void>()
  collectGarbage()
  const { arrayBuffers } = process.memoryUsage()
  const decoder = new ContentDecoder(['deflate'], {
    decoded(chunk) {
      if (read === 0) decoder.pause()
      read += chunk.byteLength
    },
    decodedAll: over.resolve,
    decodingFailed: over.reject,
    decoderDrained() {},
  })
  decoder.write(bytes)
  decoder.end()

  // As long as it takes to inflate all of it.
  await once(createInflate().resume().end(whole), 'end')
  collectGarbage()
  expect(process.memoryUsage().arrayBuffers - arrayBuffers).toBeLessThan(size / 4)

  decoder.resume()
  await over.promise
  expect(read).toBe(size)
})
