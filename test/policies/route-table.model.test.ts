// Random tables and requests, beside a matcher that tries each route in turn.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { compareRules, conflictsOf, inOrder, rulesMeet } from '../../src/policies/route-order.ts'
import { type CheckedRule, checkTable, type RouteRule } from '../../src/policies/route-rule.ts'
import { holds } from './fixtures.ts'
import {
  type Call,
  type DrawnRoute,
  findPlainly,
  fitsPlainly,
  labelOf,
  orderPlainly,
  tableOf,
} from './route-fixtures.ts'

interface Segment {
  readonly text: string
  readonly rank: number
  readonly wild?: true
}

// The order of the page: text, then partly text (the more of it first), names, wildcards.
const literal = 4e6
const partly = (length: number, weakest: 'wildcard' | 'name' | 'regexp' | 'text') =>
  3e6 + length * 4 + ['wildcard', 'name', 'regexp', 'text'].indexOf(weakest)
const ended = 5e6

const literalSegment = fc.constantFrom('a', 'b', 'ab', 'c.d', 'A', '%61', 'x%2Fy', 'é', '').map((text) => ({
  text,
  rank: literal,
}))
const otherSegment = fc.constantFrom<Segment>(
  { text: ':n', rank: 2e6 },
  { text: ':n', rank: 2e6 },
  { text: ':n(\\d+)', rank: partly(0, 'regexp') },
  { text: ':n([ab]+)', rank: partly(0, 'regexp') },
  { text: 'a:n', rank: partly(1, 'name') },
  { text: ':n.d', rank: partly(2, 'name') },
  { text: 'a:n(b?)', rank: partly(1, 'regexp') },
  { text: 'a*', rank: partly(1, 'wildcard'), wild: true },
  { text: '*', rank: 1e6, wild: true },
  { text: '*b', rank: partly(1, 'wildcard'), wild: true },
  { text: 'a{b}?', rank: partly(2, 'text') },
)
// The slash before it comes and goes with it.
const optionalSegment = fc.constantFrom<Segment>(
  { text: ':n?', rank: 2e6 },
  { text: ':n*', rank: 1e6, wild: true },
  { text: ':n+', rank: 1e6, wild: true },
)
const segment = fc.oneof(
  { weight: 6, arbitrary: literalSegment },
  { weight: 3, arbitrary: otherSegment },
  { weight: 1, arbitrary: optionalSegment },
)

const segments = fc.oneof(
  fc.array(segment, { minLength: 1, maxLength: 4 }),
  // So that there are patterns alike in a table.
  fc.array(fc.oneof(fc.constant({ text: 'a', rank: literal }), otherSegment), { minLength: 1, maxLength: 2 }),
)
const path = segments.map((drawn) => {
  // A name stands once in a pattern.
  const source = drawn.map(({ text }, at) => `/${text.replace(':n', `:n${at}`)}`).join('')
  const isWild = drawn.some((one) => 'wild' in one)
  return { source, ranks: [literal, ...drawn.map(({ rank }) => rank), isWild ? 0 : ended] }
})

const hosts = [
  { host: undefined, rank: 0 },
  { host: undefined, rank: 0 },
  { host: 'a.test', rank: 3e6 },
  { host: 'b.test', rank: 3e6 },
  { host: 'a.test:8080', rank: 3e6 + 1 },
  { host: '*.a.test', rank: 2e6 + 14 },
  { host: '*.test', rank: 2e6 + 10 },
  { host: ':x.test', rank: 1e6 + 10 },
] as const

const header = fc.constantFrom<string | boolean | RegExp>('1', '2', '3', true, false, /^[12]$/)
const given = <T>(value: T | undefined, name: string) => (value === undefined ? {} : { [name]: value })
const drawnRule = fc.record({
  path: fc.option(path, { nil: undefined, freq: 8 }),
  methods: fc.option(fc.subarray(['GET', 'POST', 'PUT'], { minLength: 1 }), { nil: undefined, freq: 1 }),
  host: fc.constantFrom(...hosts),
  headers: fc.option(fc.dictionary(fc.constantFrom('x-one', 'x-two'), header), { nil: undefined, freq: 1 }),
  contentType: fc.option(fc.constantFrom('text/plain', 'text/*', 'image/png', '*/*'), { nil: undefined, freq: 1 }),
  priority: fc.option(fc.integer({ min: -1, max: 1 }), { nil: undefined, freq: 1 }),
})

// Told apart by next to nothing else than their paths.
const alike = fc.record({
  path: path.filter(({ ranks }) => ranks.length <= 4),
  methods: fc.constantFrom(['GET', 'PUT'], ['PUT', 'POST']),
  host: fc.constantFrom(...hosts.slice(-2)),
  headers: fc.constant(undefined),
  contentType: fc.constant(undefined),
  priority: fc.constant(undefined),
})
const rules = fc.oneof(
  fc.array(drawnRule, { minLength: 1, maxLength: 18 }),
  fc.array(alike, { minLength: 1, maxLength: 18 }),
)

const table: fc.Arbitrary<readonly DrawnRoute[]> = rules.map((drawn) =>
  drawn.map(({ path: one, host, methods, headers, contentType, priority }, index) => ({
    rule: {
      name: `r${index}`,
      ...given(one?.source, 'path'),
      ...given(host.host, 'host'),
      ...given(methods, 'methods'),
      ...given(headers, 'headers'),
      ...given(contentType, 'contentType'),
      ...given(priority, 'priority'),
    } as RouteRule,
    pathRanks: one?.ranks ?? [1e6, 0],
    hostRank: host.rank,
  })),
)

const nastySegment = fc.constantFrom(
  ...[
    'a',
    'b',
    'ab',
    'aab',
    '7',
    'c.d',
    'A',
    '%61',
    '%41',
    'x%2Fy',
    'x%2fy',
    'é',
    '%C3%A9',
    '%c3%a9',
    '',
    '',
    '..',
    '.',
  ],
  ...['%2e%2e', '.%2E', '%2e', '...', '%', '%zz', 'a b', 'a%20b', 'b\\a', '{', '^', '|', 'a;b', ':n', '*', '.d', 'b.d'],
)
const requestPath = fc
  .tuple(fc.array(nastySegment, { maxLength: 6 }), fc.constantFrom('', '', '', '?a=/b', '#/a', '?..'))
  .map(([segments, after]) => `/${segments.join('/')}${after}`)
const call: fc.Arbitrary<Call> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
  origin: fc.constantFrom(
    'http://a.test',
    'https://b.test',
    'http://a.test:8080',
    'https://x.a.test',
    'http://y.x.test',
  ),
  path: requestPath,
  headers: fc.dictionary(fc.constantFrom('x-one', 'x-two'), fc.constantFrom('1', '2', '4', '')).chain((headers) =>
    fc
      .record({
        host: fc.option(fc.constantFrom('a.test', 'A.test:8080', 'B.TEST', 'z.a.test:443'), {
          nil: undefined,
          freq: 1,
        }),
        'content-type': fc.option(fc.constantFrom('text/plain', 'Text/HTML; charset=utf-8', 'image/png', 'x'), {
          nil: undefined,
        }),
      })
      .map((more) => ({ ...headers, ...given(more.host, 'host'), ...given(more['content-type'], 'content-type') })),
  ),
})

function checked(drawn: readonly DrawnRoute[]): readonly CheckedRule[] {
  const routes = drawn.map(({ rule }) => ({ ...rule, to: null }))
  return checkTable('route', routes, () => null).rules
}

/** Those that are left when of each conflict one has gone. */
function withoutConflicts(drawn: readonly DrawnRoute[]): readonly DrawnRoute[] {
  const gone = new Set(conflictsOf(inOrder(checked(drawn))).map(({ other }) => other.index))
  return drawn.filter((_, index) => !gone.has(index))
}

const hasRegExp = ({ rule }: DrawnRoute) => /\(/.test(rule.path ?? '')

it('a table finds what trying each route in turn finds', () => {
  let found = 0
  holds(
    'routes beside trying each in turn',
    fc.property(table, fc.array(call, { minLength: 12, maxLength: 24 }), (drawn, calls) => {
      const routes = withoutConflicts(drawn)
      const made = tableOf(routes.map(({ rule }) => rule))
      for (const one of calls) {
        const expected = findPlainly(routes, one)
        if (expected !== null) found++
        expect(labelOf(made, one), JSON.stringify(one)).toBe(expected)
      }
    }),
  )
  expect(found).toBeGreaterThan(200)
})

it('routes that are as literal as one another and take the same call are a conflict', () => {
  let both = 0
  holds(
    'conflicts of routes',
    fc.property(table, fc.array(call, { minLength: 10, maxLength: 20 }), (drawn, calls) => {
      const made = checked(drawn)
      for (const [at, one] of drawn.entries()) {
        for (const [otherAt, other] of drawn.entries()) {
          const [rule, otherRule] = [made[at] as CheckedRule, made[otherAt] as CheckedRule]
          expect(Math.sign(compareRules(rule, otherRule))).toBe(Math.sign(orderPlainly(one, other)))
          const meet = rulesMeet(rule, otherRule)
          expect(rulesMeet(otherRule, rule)).toBe(meet)
          if (meet || orderPlainly(one, other) !== 0) continue
          // Of patterns with regular expressions nothing is promised, unless they are the same.
          if ((hasRegExp(one) || hasRegExp(other)) && one.rule.path !== other.rule.path) continue
          for (const request of calls) {
            expect(fitsPlainly(one, request) && fitsPlainly(other, request), JSON.stringify([one, other])).toBe(false)
          }
        }
      }
      both += conflictsOf(inOrder(made)).length
    }),
  )
  expect(both).toBeGreaterThan(100)
})

it('patterns that differ in the names of their parameters only are a conflict', () => {
  holds(
    'names of parameters',
    fc.property(path, ({ source }) => {
      const other = source.replaceAll(':n', ':other')
      expect(() => tableOf([{ path: source }, { path: other }])).toThrow('routes[0] and routes[1]')
    }),
  )
})
