import { describe, expect, it } from 'vitest'
import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkNumber,
  checkOptions,
  type NumberRange,
} from '../../src/policies/options.ts'
import { thrownBy } from './fixtures.ts'

describe('checkNumber', () => {
  it.each<[number, NumberRange]>([
    [0, { min: 0 }],
    [1, { min: 0, max: 1 }],
    [0.5, { min: 0, max: 1 }],
    [4, { min: 1, integer: true }],
    [Number.POSITIVE_INFINITY, { min: 1, finite: false }],
    [Number.POSITIVE_INFINITY, { min: 1, integer: true, finite: false }],
  ])('gives %d back', (value, range) => {
    expect(checkNumber('share', value, range)).toBe(value)
  })

  it.each<[unknown, NumberRange, string]>([
    [-1, { min: 0 }, 'share must be a number of at least 0, got -1'],
    [2, { min: 0, max: 1 }, 'share must be a number from 0 to 1, got 2'],
    [1.5, { min: 1, integer: true }, 'share must be a whole number of at least 1, got 1.5'],
    [Number.POSITIVE_INFINITY, { min: 1 }, 'share must be a number of at least 1, got Infinity'],
    [Number.NEGATIVE_INFINITY, { min: 1, finite: false }, 'share must be a number of at least 1, got -Infinity'],
  ])('refuses %o with a RangeError', (value, range, message) => {
    const error = thrownBy(() => checkNumber('share', value, range))
    expect(error).toBeInstanceOf(RangeError)
    expect((error as Error).message).toBe(message)
  })

  it.each<[unknown, string]>([
    ['5', 'got "5"'],
    [Number.NaN, 'got NaN'],
    [undefined, 'got undefined'],
    [null, 'got null'],
    [true, 'got true'],
    [5n, 'got 5'],
    [[], 'got an array'],
    [{}, 'got an object'],
    [() => 5, 'got function (anonymous)'],
    [Symbol('five'), 'got Symbol(five)'],
  ])('refuses %o with a TypeError', (value, shown) => {
    const error = thrownBy(() => checkNumber('share', value, { min: 0 }))
    expect(error).toBeInstanceOf(TypeError)
    expect((error as Error).message).toBe(`share must be a number of at least 0, ${shown}`)
  })
})

describe('checkDuration', () => {
  it('takes what a timer can hold', () => {
    expect(checkDuration('window', 1)).toBe(1)
    expect(checkDuration('window', 2 ** 31 - 1)).toBe(2 ** 31 - 1)
    expect(checkDuration('window', 0, 0)).toBe(0)
  })

  it.each([0, 2 ** 31, Number.POSITIVE_INFINITY])('refuses %d', (value) => {
    expect(() => checkDuration('window', value)).toThrow(
      new RangeError(`window must be a number from 1 to 2147483647, got ${value}`),
    )
  })
})

describe('checkFunction and checkBoolean', () => {
  it('give the value back', () => {
    const value = () => {}
    expect(checkFunction('now', value)).toBe(value)
    expect(checkBoolean('on', false)).toBe(false)
  })

  it('refuse anything else', () => {
    expect(() => checkFunction('now', 5)).toThrow(new TypeError('now must be a function, got 5'))
    expect(() => checkBoolean('on', 0)).toThrow(new TypeError('on must be true or false, got 0'))
    expect(() => checkBoolean('on', 'true')).toThrow(new TypeError('on must be true or false, got "true"'))
  })
})

describe('checkOptions', () => {
  it('takes known names', () => {
    expect(() => checkOptions('retry', { a: 1 }, ['a', 'b'])).not.toThrow()
    expect(() => checkOptions('retry', {}, [])).not.toThrow()
  })

  it('refuses unknown names and tells the known ones', () => {
    expect(() => checkOptions('retry', { a: 1, c: 2 }, ['a', 'b'])).toThrow(
      new TypeError('retry: unknown option "c"; known are a, b'),
    )
  })

  it.each<[unknown, string]>([
    [null, 'null'],
    [undefined, 'undefined'],
    [5, '5'],
    ['x', '"x"'],
    [[], 'an array'],
    [function edge() {}, 'a function; in compose() write retry()'],
  ])('refuses %o', (value, shown) => {
    expect(() => checkOptions('retry', value, [])).toThrow(
      new TypeError(`retry: options must be an object, got ${shown}`),
    )
  })
})
