// A tracestate is read of every request, whoever sends it, and so is baggage where it is trusted. The blanks around a member
// were taken off by a regular expression that went over a run of them within the member once for each: 60 KB, as an HTTP/2
// server takes, held the process up for seconds.
import { contextOf } from 'roundtripper'
import { expect, it } from 'vitest'

/** The best of several runs. */
function timeOf(read: () => unknown): number {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < 5; run++) {
    const since = performance.now()
    read()
    best = Math.min(best, performance.now() - since)
  }
  return best
}

it.each([
  [
    'tracestate',
    (blanks: string) => ({ traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, tracestate: `a${blanks}b` }),
  ],
  ['baggage', (blanks: string) => ({ baggage: `a=b${blanks}c` })],
  ['baggage, of a property', (blanks: string) => ({ baggage: `a=b;c${blanks}d` })],
])('a header with a long run of blanks is read at once: %s', (_, make) => {
  const read = (length: number) => {
    const headers = make(' '.repeat(length))
    return timeOf(() => contextOf(headers, { trust: ['trace', 'baggage'] }))
  }
  read(1000)
  // Linear: a fraction of a millisecond. Square: 30,000 are a second.
  expect(read(30_000)).toBeLessThan(50)
})

it('blanks around members are taken off all the same', () => {
  const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`
  const headers = { traceparent, tracestate: ' \ta=1\t ,\tb=2 ', baggage: '\t k = v ; p = 1 , l=w ' }
  const context = contextOf(headers, { trust: ['trace', 'baggage'] })
  expect(context.tracestate).toBe('a=1,b=2')
  expect(context.baggage).toEqual({ k: 'v', l: 'w' })
})
