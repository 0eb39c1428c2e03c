// Vectors of the W3C's own tests for Baggage (w3c/baggage, test/baggage/test_baggage.py), and of the sections named.
import { describe, expect, it } from 'vitest'
import { checkBaggage, headerOfBaggage, readBaggage } from '../../src/context/baggage.ts'

function read(header: string) {
  const baggage = readBaggage(header)
  return baggage === undefined ? undefined : [Object.entries(baggage), headerOfBaggage(baggage)]
}

describe('what is received', () => {
  it.each([
    ['parse_simple', 'SomeKey=SomeValue', [['SomeKey', 'SomeValue']], 'SomeKey=SomeValue'],
    [
      'parse_multiple_ows',
      'SomeKey \t = \t SomeValue \t , \t SomeKey2 \t = \t SomeValue2 \t ',
      [
        ['SomeKey', 'SomeValue'],
        ['SomeKey2', 'SomeValue2'],
      ],
      'SomeKey=SomeValue,SomeKey2=SomeValue2',
    ],
    [
      'parse_multiple_kv_property_ows',
      'SomeKey \t = \t SomeValue \t ; \t SomePropKey=SomePropValue \t , \t SomeKey2 \t = \t SomeValue2 \t ; \t SomeProp2',
      [
        ['SomeKey', 'SomeValue'],
        ['SomeKey2', 'SomeValue2'],
      ],
      'SomeKey=SomeValue;SomePropKey=SomePropValue,SomeKey2=SomeValue2;SomeProp2',
    ],
    [
      'parse_multiple_equals',
      'SomeKey=SomeValue=equals',
      [['SomeKey', 'SomeValue=equals']],
      'SomeKey=SomeValue=equals',
    ],
    [
      'parse_percent_encoded',
      'SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29',
      [['SomeKey', '\t "\';=asdf!@#$%^&*()']],
      'SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29',
    ],
    [
      'Examples',
      'userId=Am%C3%A9lie,serverNode=DF%2028',
      [
        ['userId', 'Amélie'],
        ['serverNode', 'DF 28'],
      ],
      'userId=Am%C3%A9lie,serverNode=DF%2028',
    ],
    ['"value": what is no UTF-8 becomes U+FFFD', 'a=%C3%28', [['a', '\ufffd(']], 'a=%C3%28'],
    ['a percent sign that stands alone', 'a=100%', [['a', '100%']], 'a=100%'],
    ['an empty value', 'a=', [['a', '']], 'a='],
    [
      '"baggage-string": keys may come twice, in order',
      'a=1,b=2,a=3',
      [
        ['a', '3'],
        ['b', '2'],
      ],
      'a=1,b=2,a=3',
    ],
    [
      'a key that an object has',
      '__proto__=1,constructor=2',
      [
        ['__proto__', '1'],
        ['constructor', '2'],
      ],
      '__proto__=1,constructor=2',
    ],
    [
      '"Mutating baggage": a member that is not valid may go',
      'a=1,b c=2,d=e f,"=3,g,h=2;i j,k=4',
      [
        ['a', '1'],
        ['k', '4'],
      ],
      'a=1,k=4',
    ],
    ['a line end', 'a=1\r\nx-evil: 1,b=2', [['b', '2']], 'b=2'],
  ])('%s', (_, header, entries, written) => {
    expect(read(header)).toEqual([entries, written])
  })

  it.each(['', ',', 'a', '=1', 'a b=1', 'a=1 2', 'ä=1', 'a=ä', 'a=\u0000'])('%j is ignored', (header) => {
    expect(readBaggage(header)).toBeUndefined()
  })

  it('"Limits": 64 members and 8192 bytes go on, and no member in part', () => {
    const many = (count: number) => Array.from({ length: count }, (_, at) => `k${at}=v`).join(',')
    expect(read(many(64))?.[1]).toBe(many(64))
    expect(read(many(65))?.[1]).toBe(many(64))

    const whole = `${'a'.repeat(100)}=${'v'.repeat(8192 - 101)}`
    expect(read(whole)?.[1]).toBe(whole)
    expect(read(`${whole}v`)).toBeUndefined()
    const half = `a=${'v'.repeat(4094)}`
    expect(read(`${half},${half}v,b=1`)?.[1]).toBe(`${half},b=1`)
  })
})

describe('what is given', () => {
  it('is encoded once, and nothing of it can break a header', () => {
    const baggage = checkBaggage('baggage', { user: 'Amélie, "the" \\one; \r\nx-evil: 1', lone: '\ud800' })!
    expect(headerOfBaggage(baggage)).toBe(
      'user=Am%C3%A9lie%2C%20%22the%22%20%5Cone%3B%20%0D%0Ax-evil%3A%201,lone=%EF%BF%BD',
    )
    expect(read(headerOfBaggage(baggage))?.[0]).toEqual([
      ['user', 'Amélie, "the" \\one; \r\nx-evil: 1'],
      ['lone', '\ufffd'],
    ])
    expect(() => Object.assign(baggage, { user: 'other' })).toThrow(TypeError)
    expect(checkBaggage('baggage', {})).toBeUndefined()
  })

  it.each<[unknown, string]>([
    [null, 'baggage must be an object of texts by key, got null'],
    [['a=1'], 'baggage must be an object of texts by key, got an array'],
    [{ 'a b': '1' }, 'baggage: a key must be a token (RFC 9110 §5.6.2), got "a b"'],
    [{ '': '1' }, 'baggage: a key must be a token (RFC 9110 §5.6.2), got ""'],
    [{ a: 1 }, 'baggage: a must be a text, got 1'],
    [Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`k${at}`, ''])), 'at most 64 entries of 8192 bytes'],
    [{ a: 'v'.repeat(8191) }, 'at most 64 entries of 8192 bytes as a header, got 1 of 8193'],
  ])('what is no baggage is refused, %#', (given, message) => {
    expect(() => checkBaggage('baggage', given)).toThrow(message)
  })
})
