import { mix32 } from './murmur3.ts'

/**
 * What one of several draws for a key in weighted rendezvous hashing: the least wins. `hash` is of both of them. Exponentially
 * distributed with the weight as the rate, so that each is the least as often as its weight says.
 *
 * Source: C. Schindelhauer and G. Schomaker, Weighted distributed hash tables (SPAA 2005), the logarithmic method.
 */
export function rendezvousDraw(hash: number, weight: number): number {
  // Between 0 and 1, both excluded.
  return -Math.log((mix32(hash) + 0.5) / 2 ** 32) / weight
}
