import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readServerLimits } from '../../src/policies/rate-limit-fields.ts'
import { holds } from './fixtures.ts'

const now = Date.UTC(2019, 7, 5, 9, 27, 0)
const read = (headers: Record<string, string | string[]>) => readServerLimits(headers, now)

describe('30: the structured fields, examples of draft-ietf-httpapi-ratelimit-headers-11', () => {
  it.each<[where: string, headers: Record<string, string>, expected: object[]]>([
    [
      'section 4.2, no policy told',
      { ratelimit: '"default";r=50;t=30' },
      [{ name: 'default', remaining: 50, reset: 30_000, quota: undefined, window: undefined }],
    ],
    [
      'section 3.2, policies only',
      { 'ratelimit-policy': '"permin";q=50;w=60,"perhr";q=1000;w=3600' },
      [
        { name: 'permin', remaining: undefined, reset: undefined, quota: 50, window: 60_000 },
        { name: 'perhr', remaining: undefined, reset: undefined, quota: 1000, window: 3_600_000 },
      ],
    ],
    [
      'appendix B.1.4, throttled',
      { 'ratelimit-policy': '"default";q=100;w=60', ratelimit: '"default";r=0;t=5' },
      [{ name: 'default', remaining: 0, reset: 5000, quota: 100, window: 60_000 }],
    ],
    [
      'appendix B.2.1, with a policy',
      { ratelimit: '"fixedwindow";r=99;t=50', 'ratelimit-policy': '"fixedwindow";q=100;w=60' },
      [{ name: 'fixedwindow', remaining: 99, reset: 50_000, quota: 100, window: 60_000 }],
    ],
    [
      'appendix B.3.1, two policies, one limit told',
      { 'ratelimit-policy': '"hour";q=1000;w=3600, "day";q=5000;w=86400', ratelimit: '"day";r=100;t=36000' },
      [
        { name: 'day', remaining: 100, reset: 36_000_000, quota: 5000, window: 86_400_000 },
        { name: 'hour', remaining: undefined, reset: undefined, quota: 1000, window: 3_600_000 },
      ],
    ],
    [
      'partition keys and comments are passed over',
      {
        'ratelimit-policy': '"peruser";q=100;w=60;pk=:cHsdsRa894==:;comment="a \\"; \\\\ b"',
        ratelimit: '"peruser";pk=:cHsdsRa894==:;r=7;t=3',
      },
      [{ name: 'peruser', remaining: 7, reset: 3000, quota: 100, window: 60_000 }],
    ],
    [
      'quotas of bytes and of concurrency count no calls',
      {
        'ratelimit-policy': '"bytes";q=65535;qu="content-bytes";w=10, "at-once";q=5;qu="concurrent-requests"',
        ratelimit: '"bytes";r=10;t=5, "at-once";r=0;t=1',
      },
      [],
    ],
    ['a name may be a token (version 08)', { ratelimit: 'daily;r=1;t=36400' }, [{ name: 'daily', remaining: 1 }]],
  ])('%s', (_, headers, expected) => {
    const found = read(headers)
    expect(found).toHaveLength(expected.length)
    expect(found).toMatchObject(expected)
  })

  it('fields that come several times are one list', () => {
    expect(read({ ratelimit: ['"a";r=1;t=2', '"b";r=3;t=4'] }).map(({ name }) => name)).toEqual(['a', 'b'])
  })
})

describe('30: the older forms', () => {
  it.each<[where: string, headers: Record<string, string>, remaining: number, reset: number]>([
    [
      'version 00, unparameterized',
      { 'ratelimit-limit': '100', 'ratelimit-remaining': '0', 'ratelimit-reset': '50' },
      0,
      50_000,
    ],
    [
      'version 00, a window as parameter',
      { 'ratelimit-limit': '100, 100;w=60', 'ratelimit-remaining': '99', 'ratelimit-reset': '50' },
      99,
      50_000,
    ],
    [
      'version 00, multiple windows',
      {
        'ratelimit-limit': '5000, 1000;w=3600, 5000;w=86400',
        'ratelimit-remaining': '100',
        'ratelimit-reset': '36000',
      },
      100,
      36_000_000,
    ],
    [
      'version 07, one dictionary',
      { ratelimit: 'limit=100, remaining=50, reset=5', 'ratelimit-policy': '10;w=1, 100;w=3600' },
      50,
      5000,
    ],
    [
      'X-RateLimit with seconds left',
      { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '3', 'x-ratelimit-reset': '12' },
      3,
      12_000,
    ],
    [
      'X-RateLimit as GitHub has it, with a time',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(now / 1000 + 90) },
      0,
      90_000,
    ],
    ['a time that is past', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(now / 1000 - 90) }, 0, 0],
  ])('%s', (_, headers, remaining, reset) => {
    expect(read(headers)).toMatchObject([{ remaining, reset }])
  })

  it('the standard field counts where a response has several forms', () => {
    expect(
      read({
        ratelimit: '"default";r=9;t=1',
        'ratelimit-remaining': '5',
        'ratelimit-reset': '5',
        'x-ratelimit-remaining': '1',
        'x-ratelimit-reset': '1',
      }),
    ).toMatchObject([{ remaining: 9 }])
  })

  it('version 00: a limit without what remains says nothing that could be kept', () => {
    expect(read({ 'ratelimit-limit': '10', 'ratelimit-reset': '1' })).toEqual([])
  })
})

describe('30: garbage is ignored', () => {
  it.each<[string, Record<string, string>]>([
    ['no list', { ratelimit: ';;;' }],
    ['an open string', { ratelimit: '"default;r=0;t=10' }],
    ['what follows an item', { ratelimit: '"default";r=0;t=10 x' }],
    ['a trailing comma', { ratelimit: '"default";r=0;t=10,' }],
    ['negative numbers', { ratelimit: '"default";r=-1;t=10' }],
    ['fractions', { ratelimit: '"default";r=0.5;t=10' }],
    ['text for a number', { ratelimit: '"default";r="0";t=10' }],
    ['beyond fifteen digits', { ratelimit: '"default";r=1234567890123456;t=10' }],
    ['more than eight items', { ratelimit: Array.from({ length: 9 }, (_, at) => `"${at}";r=0;t=9`).join(',') }],
    ['longer than any field has reason to be', { ratelimit: `"${'a'.repeat(1100)}";r=0;t=9` }],
    ['a policy of nothing', { 'ratelimit-policy': '"default";q=0;w=0' }],
    ['a dictionary with more than numbers', { ratelimit: 'limit=100, remaining=zero, reset=5' }],
    ['words in the old fields', { 'ratelimit-remaining': 'none', 'ratelimit-reset': '5' }],
    ['a date in X-RateLimit-Reset', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'Mon, 05 Aug 2019' }],
    ['empty', { ratelimit: '', 'ratelimit-policy': '', 'ratelimit-remaining': '', 'x-ratelimit-remaining': '' }],
  ])('%s', (_, headers) => {
    expect(read(headers)).toEqual([])
  })

  it('whatever comes, it neither throws nor tells of anything but whole numbers', () => {
    const piece = fc.constantFrom(
      '"',
      'a',
      ';',
      'r=',
      't=',
      'q=',
      'w=',
      ',',
      ' ',
      '0',
      '7',
      '\\',
      ':',
      '-',
      '.',
      '=',
      '*',
    )
    const text = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
    )
    holds(
      'fields of garbage',
      fc.property(text, text, (limits, policies) => {
        for (const { remaining, reset, quota, window } of read({ ratelimit: limits, 'ratelimit-policy': policies })) {
          for (const value of [remaining, reset, quota, window]) {
            expect(value === undefined || (Number.isSafeInteger(value) && value >= 0)).toBe(true)
          }
        }
      }),
    )
  })

  it('takes no time over fields made to take it', () => {
    const nasty = [`"${'\\"'.repeat(500)}`, `"a"${' ;'.repeat(500)}`, `"a"${';a'.repeat(500)}"`, '"a",'.repeat(250)]
    // Backtracking would not come to an end before the test's own time is up.
    for (const ratelimit of nasty) for (let round = 0; round < 20; round++) expect(read({ ratelimit })).toEqual([])
  })
})
