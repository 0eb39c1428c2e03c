// Vectors of the W3C's own test suite for Trace Context (w3c/trace-context, test/test.py), and of the sections named.
import { describe, expect, it } from 'vitest'
import { readTraceparent, readTracestate } from '../../src/context/trace-headers.ts'

const ids = '12345678901234567890123456789012-1234567890123456'
const plain = `00-${ids}-01`

describe('traceparent', () => {
  it.each([
    ['§3.2.3: sampled', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
    ['§3.2.3: not sampled', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'],
    ['§3.2.2.5: flags that are not known', `00-${ids}-ff`],
  ])('%s stays as it is', (_, value) => {
    expect(readTraceparent(value)).toBe(value)
  })

  it.each([
    ['ows_handling', ` ${plain}`, plain],
    ['ows_handling', `\t${plain}`, plain],
    ['ows_handling', `${plain} `, plain],
    ['ows_handling', `\t ${plain} \t`, plain],
    ['version_0xcc (§3.2.4)', `cc-${ids}-01`, plain],
    ['version_0xcc (§3.2.4)', `cc-${ids}-01-what-the-future-will-be-like`, plain],
    ['§3.2.4: of a higher version the sampled flag only', `01-${ids}-fe`, `00-${ids}-00`],
    ['§3.2.4: of a higher version the sampled flag only', `fe-${ids}-ff-`, plain],
  ])('%s is read, %#', (_, value, expected) => {
    expect(readTraceparent(value)).toBe(expected)
  })

  it.each([
    ['duplicated, as Node joins them', `${plain}, ${plain}`],
    ['duplicated, of a higher version', `cc-${ids}-01, cc-${ids}-01`],
    ['version_0x00, trailing', `${plain}.`],
    ['version_0x00, trailing', `${plain}-what-the-future-will-be-like`],
    ['version_0xcc', `cc-${ids}-01.what-the-future-will-be-like`],
    ['version_0xff', `ff-${ids}-01`],
    ['version_illegal_characters', `.0-${ids}-01`],
    ['version_illegal_characters', `0.-${ids}-01`],
    ['version_too_long', `000-${ids}-01`],
    ['version_too_long', `0000-${ids}-01`],
    ['version_too_short', `0-${ids}-01`],
    ['trace_id_all_zero', `00-${'0'.repeat(32)}-1234567890123456-01`],
    ['trace_id_all_zero, of a higher version', `cc-${'0'.repeat(32)}-1234567890123456-01`],
    ['trace_id_illegal_characters', '00-.2345678901234567890123456789012-1234567890123456-01'],
    ['trace_id_illegal_characters', '00-1234567890123456789012345678901.-1234567890123456-01'],
    ['trace_id_too_long', '00-123456789012345678901234567890123-1234567890123456-01'],
    ['trace_id_too_short', '00-1234567890123456789012345678901-1234567890123456-01'],
    ['parent_id_all_zero', '00-12345678901234567890123456789012-0000000000000000-01'],
    ['parent_id_illegal_characters', '00-12345678901234567890123456789012-.234567890123456-01'],
    ['parent_id_illegal_characters', '00-12345678901234567890123456789012-123456789012345.-01'],
    ['parent_id_too_long', '00-12345678901234567890123456789012-12345678901234567-01'],
    ['parent_id_too_short', '00-12345678901234567890123456789012-123456789012345-01'],
    ['trace_flags_illegal_characters', `00-${ids}-.0`],
    ['trace_flags_illegal_characters', `00-${ids}-0.`],
    ['trace_flags_too_long', `00-${ids}-001`],
    ['trace_flags_too_short', `00-${ids}-1`],
    ['§3.2.2: upper case', `00-${ids.replace('1', 'A')}-01`],
    ['nothing', ''],
    ['a line end', `${plain}\r\nx-evil: 1`],
  ])('%s is ignored, %#', (_, value) => {
    expect(readTraceparent(value)).toBeUndefined()
  })
})

const members = (count: number) => Array.from({ length: count }, (_, at) => `bar${at + 1}=${at + 1}`).join(',')

describe('tracestate', () => {
  const lower = 'abcdefghijklmnopqrstuvwxyz0123456789_-*/'
  const printable = Array.from({ length: 0x7f - 0x20 }, (_, at) => String.fromCharCode(0x20 + at))
  const allowed = printable.filter((one) => one !== ',' && one !== '=').join('')

  it.each([
    ['traceparent_included', 'foo=1,bar=2', 'foo=1,bar=2'],
    ['empty_header, and another', 'foo=1,', 'foo=1'],
    ['empty_header, and another', ',foo=1', 'foo=1'],
    ['multiple_headers_different_keys', 'foo=1,bar=2,rojo=1,congo=2,baz=3', 'foo=1,bar=2,rojo=1,congo=2,baz=3'],
    ['all_allowed_characters', `${lower}=${allowed}`, `${lower}=${allowed}`],
    ['all_allowed_characters', `${lower}@a-z0-9_-*/=${allowed}`, `${lower}@a-z0-9_-*/=${allowed}`],
    ['ows_handling', 'foo=1 \t , \t bar=2, \t baz=3', 'foo=1,bar=2,baz=3'],
    ['ows_handling', '\t foo=1 \t', 'foo=1'],
    ['member_count_limit', members(32), members(32)],
    ['key_length_limit', `foo=1,${'z'.repeat(256)}=1`, `foo=1,${'z'.repeat(256)}=1`],
    ['key_length_limit', `${'t'.repeat(241)}@${'v'.repeat(14)}=1`, `${'t'.repeat(241)}@${'v'.repeat(14)}=1`],
    ['§3.3.1.3.2: a leading space is the value, a trailing one is not', 'foo= 1 ', 'foo= 1'],
  ])('%s is read, %#', (_, value, expected) => {
    expect(readTracestate(value)).toBe(expected)
  })

  it.each([
    ['empty_header', ''],
    ['empty_header', ' , ,'],
    ['duplicated_keys', 'foo=1,foo=1'],
    ['duplicated_keys', 'foo=1,foo=2'],
    ['key_illegal_characters', 'foo =1'],
    ['key_illegal_characters', 'FOO=1'],
    ['key_illegal_characters', 'foo.bar=1'],
    ['key_illegal_vendor_format', 'foo@=1,bar=2'],
    ['key_illegal_vendor_format', '@foo=1,bar=2'],
    ['key_illegal_vendor_format', 'foo@@bar=1,bar=2'],
    ['key_illegal_vendor_format', 'foo@bar@baz=1,bar=2'],
    ['member_count_limit', members(33)],
    ['key_length_limit', `foo=1,${'z'.repeat(257)}=1`],
    ['key_length_limit', `foo=1,${'t'.repeat(242)}@v=1`],
    ['key_length_limit', `foo=1,t@${'v'.repeat(15)}=1`],
    ['value_illegal_characters', 'foo=bar=baz'],
    ['value_illegal_characters', 'foo=,bar=3'],
    ['§3.3.1.3.2: a value of 257', `foo=${'1'.repeat(257)}`],
    ['a line end', 'foo=1\r\nx-evil: 1'],
  ])('%s is ignored, %#', (_, value) => {
    expect(readTracestate(value)).toBeUndefined()
  })

  it('§3.3.1.5: of more than 512 characters, members above 128 go first, then those at the end; each whole', () => {
    const long = (key: string) => `${key}=${'l'.repeat(130)}`
    const short = (key: string) => `${key}=${'s'.repeat(98)}`
    expect(readTracestate([long('a'), short('b'), short('c'), long('d'), short('e')].join(','))).toBe(
      [long('a'), short('b'), short('c'), short('e')].join(','),
    )
    expect(readTracestate([...'abcdefg'].map(short).join(','))).toBe([...'abcde'].map(short).join(','))
    expect(readTracestate([...'abcde'].map(short).join(','))).toBe([...'abcde'].map(short).join(','))
  })
})
