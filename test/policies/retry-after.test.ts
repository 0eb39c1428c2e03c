import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parsePushback, parseRetryAfter } from '../../src/policies/retry-after.ts'
import { holds } from './fixtures.ts'

const now = Date.UTC(2026, 2, 14, 12, 0, 0)

describe('11: Retry-After in seconds', () => {
  it.each<[string, number]>([
    ['0', 0],
    ['1', 1000],
    ['120', 120_000],
    ['007', 7000],
    [' 3 ', 3000],
    ['\t3', 3000],
    ['86400000000', 86_400_000_000_000],
  ])('%j', (value, delay) => {
    expect(parseRetryAfter(value, now)).toBe(delay)
  })
})

describe('11: Retry-After as a date', () => {
  it.each<[string, string, number]>([
    ['IMF-fixdate', 'Sat, 14 Mar 2026 12:00:05 GMT', 5000],
    ['RFC 850', 'Saturday, 14-Mar-26 12:00:05 GMT', 5000],
    ['asctime', 'Sat Mar 14 12:00:05 2026', 5000],
    ['asctime with one digit', 'Thu Apr  2 12:00:00 2026', 19 * 86_400_000],
    ['a leap second', 'Tue, 30 Jun 2026 23:59:60 GMT', Date.UTC(2026, 6, 1) - now],
    ['the day that is only in leap years', 'Tue, 29 Feb 2028 00:00:00 GMT', Date.UTC(2028, 1, 29) - now],
  ])('%s', (_, value, delay) => {
    expect(parseRetryAfter(value, now)).toBe(delay)
  })

  it('11: a past date is 0', () => {
    expect(parseRetryAfter('Sat, 14 Mar 2026 11:59:59 GMT', now)).toBe(0)
    expect(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', now)).toBe(0)
    expect(parseRetryAfter('Sunday, 06-Nov-94 08:49:37 GMT', now)).toBe(0)
    expect(parseRetryAfter('Sun Nov  6 08:49:37 1994', now)).toBe(0)
    expect(parseRetryAfter('Mon, 01 Jan 0001 00:00:00 GMT', now)).toBe(0)
  })

  it('a year of two digits is the latest that is not more than 50 years ahead', () => {
    const at = (year: number, text: string) => parseRetryAfter(text, Date.UTC(year, 0, 1))
    expect(at(2026, 'Wednesday, 01-Jan-76 00:00:00 GMT')).toBe(Date.UTC(2076, 0, 1) - Date.UTC(2026, 0, 1))
    expect(at(2026, 'Thursday, 02-Jan-76 00:00:00 GMT')).toBe(0)
    expect(at(2026, 'Friday, 01-Jan-77 00:00:00 GMT')).toBe(0)
    expect(at(1999, 'Saturday, 01-Jan-05 00:00:00 GMT')).toBe(Date.UTC(2005, 0, 1) - Date.UTC(1999, 0, 1))
    expect(at(2099, 'Saturday, 01-Jan-00 00:00:00 GMT')).toBe(Date.UTC(2100, 0, 1) - Date.UTC(2099, 0, 1))
  })

  it('agrees with Date over random times, in all three formats', () => {
    const two = (part: number) => String(part).padStart(2, '0')
    const range = { min: now - 10 * 365 * 86_400_000, max: now + 10 * 365 * 86_400_000 }
    const run = fc.property(fc.integer(range), (time) => {
      const date = new Date(Math.floor(time / 1000) * 1000)
      const imf = date.toUTCString()
      const [, day, month, year, clock] = /^\w+, (\d\d) (\w+) (\d+) (\S+) GMT$/.exec(imf)!
      const longDay = date.toLocaleDateString('en-US', { weekday: 'long', timeZone: 'UTC' })
      const rfc850 = `${longDay}, ${day}-${month}-${two(Number(year) % 100)} ${clock} GMT`
      const asctime = `${longDay.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${clock} ${year}`
      const delay = Math.max(0, date.getTime() - now)
      expect([imf, rfc850, asctime].map((text) => parseRetryAfter(text, now))).toEqual([delay, delay, delay])
    })
    holds('Retry-After dates', run)
  })
})

describe('11: what is neither is ignored', () => {
  it.each([
    '',
    ' ',
    '-1',
    '+1',
    '1.5',
    '.5',
    '1e3',
    '0x10',
    '1 2',
    '1,2',
    '1s',
    'soon',
    'NaN',
    'Infinity',
    '１２',
    '1\n',
    'Sat, 14 Mar 2026 12:00:05',
    'Sat, 14 Mar 2026 12:00:05 CET',
    'Sat, 14 Mar 2026 12:00:05 +0100',
    'sat, 14 mar 2026 12:00:05 gmt',
    'Sat, 14 Mär 2026 12:00:05 GMT',
    'Sat, 31 Feb 2026 12:00:05 GMT',
    'Sat, 00 Mar 2026 12:00:05 GMT',
    'Sat, 14 Mar 2026 24:00:00 GMT',
    'Sat, 14 Mar 2026 12:60:00 GMT',
    'Sat, 14 Mar 2026 12:00:61 GMT',
    'Sat, 4 Mar 2026 12:00:00 GMT',
    '2026-03-14T12:00:05Z',
    'Saturday, 14-Mar-2026 12:00:05 GMT',
    '9'.repeat(1000),
  ])('%j', (value) => {
    expect(parseRetryAfter(value, now)).toBeUndefined()
  })

  it('a field that is not there', () => {
    expect(parseRetryAfter(undefined, now)).toBeUndefined()
    expect(parseRetryAfter([], now)).toBeUndefined()
  })
})

it('12: of several fields the longest wait counts, so that nothing is sent early', () => {
  expect(parseRetryAfter(['1', '3', '2'], now)).toBe(3000)
  expect(parseRetryAfter(['soon', '2'], now)).toBe(2000)
  expect(parseRetryAfter(['soon'], now)).toBeUndefined()
})

describe("gRPC's retry pushback", () => {
  // A6, "Pushback": a signed 32-bit integer without unnecessary zeros; negative or unreadable is a no.
  it.each<[string | string[] | undefined, number | undefined]>([
    [undefined, undefined],
    ['0', 0],
    ['250', 250],
    ['2147483647', 2_147_483_647],
    ['-1', -1],
    ['-250', -1],
    ['2147483648', -1],
    ['99999999999', -1],
    ['-0', -1],
    ['007', -1],
    ['+1', -1],
    ['1.5', -1],
    ['1e3', -1],
    [' 1', -1],
    ['', -1],
    ['soon', -1],
    [['1', '1'], -1],
  ])('23: %o is %o', (value, expected) => {
    expect(parsePushback(value)).toBe(expected)
  })
})
