import { describe, expect, it } from 'vitest'
import { mix32, murmur3 } from '../../src/policies/murmur3.ts'

describe('MurmurHash3_x86_32', () => {
  // SMHasher, src/KeysetTest.cpp, VerificationTest, and src/main.cpp: { MurmurHash3_x86_32, 32, 0xB0F57EE3, "Murmur3A" }.
  it('gives the verification value of SMHasher', () => {
    const hashes = Buffer.alloc(256 * 4)
    for (let length = 0; length < 256; length++) {
      const key = Uint8Array.from({ length }, (_, at) => at)
      hashes.writeUInt32LE(murmur3(key, 256 - length), 4 * length)
    }
    expect(murmur3(hashes, 0)).toBe(0xb0f57ee3)
  })

  // Wikipedia, MurmurHash, Test vectors.
  it.each<[string, number, number]>([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ])('of %j with the seed %d', (key, seed, expected) => {
    expect(murmur3(key, seed)).toBe(expected)
  })

  it.each(['grüße', '日本', 'x'.repeat(129), `${'x'.repeat(129)}ü`])('of a text is that of its UTF-8: %s', (key) => {
    expect(murmur3(key)).toBe(murmur3(Buffer.from(key)))
    expect(murmur3(key)).not.toBe(murmur3('x'))
  })

  it('mixes by the finalizer of the same source', () => {
    expect(mix32(0)).toBe(0)
    expect(mix32(1)).toBe(0x514e28b7)
  })
})
