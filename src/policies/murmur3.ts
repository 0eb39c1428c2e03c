// Where the same key must come to the same place in every process, whatever its version or language: MurmurHash3_x86_32 by
// Austin Appleby (public domain, github.com/aappleby/smhasher). Quick and even, and no use against an adversary.

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function mixKey(block: number): number {
  return Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593)
}

/** The finalizer: every bit of what it is given changes every bit of what it gives with the same probability. */
export function mix32(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

// Keys are short, and mostly of ASCII: to make a buffer for each would cost more than to hash it.
const scratch = new Uint8Array(128)

/** The bytes of a text are in the scratch: it is of ASCII, and fits. */
function isInScratch(text: string): boolean {
  const { length } = text
  if (length > scratch.length) return false
  let all = 0
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    all |= code
    scratch[at] = code
  }
  return all < 128
}

/** A whole number of 32 bits for some bytes; of a text, for its UTF-8. */
export function murmur3(key: string | Uint8Array, seed = 0): number {
  if (typeof key !== 'string') return hashBytes(key, key.length, seed)
  if (isInScratch(key)) return hashBytes(scratch, key.length, seed)
  const bytes = Buffer.from(key)
  return hashBytes(bytes, bytes.length, seed)
}

function hashBytes(bytes: Uint8Array, length: number, seed: number): number {
  const whole = length & ~3
  let hash = seed | 0
  for (let at = 0; at < whole; at += 4) {
    const block =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    hash = (Math.imul(rotateLeft(hash ^ mixKey(block), 13), 5) + 0xe6546b64) | 0
  }
  let rest = 0
  for (let at = length - 1; at >= whole; at--) rest = (rest << 8) | (bytes[at] as number)
  if (length > whole) hash ^= mixKey(rest)
  return mix32(hash ^ length)
}
