import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { read, root } from './files.ts'
import { apiListFile, entries, exportsOf, publicApi } from './public-api.ts'

it('the public names are those of the checked-in list (npm run api writes it)', () => {
  expect(publicApi(read)).toBe(read(apiListFile))
})

it.each([...entries])('%s exports at run time what its source names', async (_, file) => {
  const names = exportsOf(file, read(file)).filter(({ value }) => value)
  const module = await import(pathToFileURL(join(root, file)).href)
  expect(Object.keys(module).sort()).toEqual(names.map(({ name }) => name))
})

it('every entry leads to the module that package.json exports', () => {
  const { name, exports } = JSON.parse(read('package.json'))
  for (const [specifier, file] of entries) {
    const built = exports[specifier.replace(name, '.')]
    const stem = file.replace('src/', './dist/').replace('.ts', '')
    expect(built).toEqual({ types: `${stem}.d.ts`, default: `${stem}.js` })
  }
  expect(Object.keys(exports)).toHaveLength(entries.size + 2)
})

describe('the reading of exports', () => {
  it('knows every form', () => {
    const source = [
      "export { retry, type RetryOptions } from './retry.ts'",
      'export type {',
      '  Outcome,',
      '  // says why',
      "} from './outcome.ts'",
      "export { a as b } from './a.ts'",
      "export * as names from './names.ts'",
      'export class Breaker {}',
      'export async function* fetchAll() {}',
      'export const limit = 1',
      'export interface Options {}',
      'export type Kind = 1',
      '// export const gone = 1',
      'const inner = 1',
    ].join('\n')
    expect(exportsOf('a.ts', source)).toEqual([
      { name: 'Breaker', value: true },
      { name: 'Kind', value: false },
      { name: 'Options', value: false },
      { name: 'Outcome', value: false },
      { name: 'RetryOptions', value: false },
      { name: 'b', value: true },
      { name: 'fetchAll', value: true },
      { name: 'limit', value: true },
      { name: 'names', value: true },
      { name: 'retry', value: true },
    ])
  })

  it('refuses export *', () => {
    expect(() => exportsOf('a.ts', "export * from './b.ts'\n")).toThrow('a.ts exports *: name each public name')
  })
})
