import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { ConfigError, readConfig } from 'roundtripper/config'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { findJsonError } from '../../src/config/json-error.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'roundtripper-config-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(text: string): Promise<string> {
  const path = join(folder, 'upstreams.json')
  await writeFile(path, text)
  return path
}

it('a configuration is read from a file, also from a URL and after a byte order mark', async () => {
  const path = await file('\uFEFF{ "upstreams": { "users": { "deadline": 900 } } }\n')
  for (const place of [path, pathToFileURL(path)]) {
    const made = await readConfig(place)
    onTestFinished(() => made.destroy())
    expect(made.upstreams.users?.describe()).toContainEqual({ layer: 'deadline', options: { duration: 900 } })
  }
})

it.each([
  ['', '1:1', 'a value'],
  ['{', '1:2', 'a name in double quotes or "}"'],
  ['{\n  "agent": {},\n  "upstreams": { "a": {},\n}', '4:1', 'a name in double quotes'],
  ['{ "a" 1 }', '1:7', '":"'],
  ["{ 'a': 1 }", '1:3', 'a name in double quotes or "}"'],
  ['{ "a": 01 }', '1:9', '"," or "}"'],
  ['{ "a": NaN }', '1:8', 'a value'],
  ['[1 2]', '1:4', '"," or "]"'],
  ['[1,]', '1:4', 'a value'],
  ['{}}', '1:3', 'the end of the file'],
  ['{ "a": "b\n" }', '1:8', 'a value'],
  ['hunter2', '1:1', 'a value'],
  ['// why\n{}', '1:1', 'a value'],
])('what is no JSON is told with file, line and column: %j', async (text, place, expected) => {
  const path = await file(text)
  const error: unknown = await readConfig(path).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  expect(error).toMatchObject({ message: `${path}:${place}: is no JSON: expected ${expected}` })
})

it('what else is wrong is told with the file', async () => {
  const path = await file('{ "upstreams": { "users": { "retry": 7 } } }')
  await expect(readConfig(path)).rejects.toThrow(
    `${path}: upstreams.users.retry: must be an object of options or false, got 7`,
  )
  await expect(readConfig(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'ENOENT' })
})

it('a string without its end is told in no time', () => {
  const began = process.cpuUsage()
  expect(findJsonError(`["${'a'.repeat(100_000)}`)).toEqual({ at: 1, expected: 'a value' })
  expect(process.cpuUsage(began).user).toBeLessThan(1e6)
})

it('a mistake is found in every text that JSON.parse refuses, and in no other', () => {
  const parses = (text: string) => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"\\u00e9"',
    '"\\x"',
    '"',
    '\\',
    '1',
    '-0.5e+3',
    '01',
    '-',
    'true',
    'nul',
    ' ',
    '\n',
    '\t',
    '\u2028',
  ]
  const broken = fc.tuple(fc.json(), fc.nat(), fc.constantFrom('', ...pieces)).map(([text, place, piece]) => {
    const at = place % (text.length + 1)
    return text.slice(0, at) + piece + text.slice(at + 1)
  })
  const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join(''))
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  fc.assert(
    fc.property(fc.oneof(broken, soup, fc.json(), fc.string({ unit: 'binary' })), (text) => {
      const found = findJsonError(text)
      expect(found === null).toBe(parses(text))
      if (found !== null) expect(found.at).toBeLessThanOrEqual(text.length)
    }),
    { seed, numRuns: 2_000 },
  )
})
