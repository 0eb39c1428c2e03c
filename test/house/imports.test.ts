import { describe, expect, it } from 'vitest'
import { listFiles, read } from './files.ts'
import { findBreaches, importsOf, type Packages } from './imports.ts'

const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(read('package.json'))
const packages: Packages = {
  declared: [...Object.keys(dependencies), ...Object.keys(peerDependencies)],
  optional: Object.keys(peerDependenciesMeta),
}
const code = ['.ts', '.mts', '.mjs', '.js']

describe('who imports whom', () => {
  it('holds in src/', () => {
    const sources = new Map(listFiles('src', code).map((path) => [path, read(path)]))
    expect(sources.size, 'modules in src/').toBeGreaterThan(0)
    expect(findBreaches(sources, packages)).toEqual([])
  })

  it.each([
    ['src/policies/retry.ts', '../dispatchers/retry.ts'],
    ['src/policies/retry.ts', 'undici'],
    ['src/policies/retry.ts', 'undici/types/dispatcher.js'],
    ['src/policies/retry.ts', '@opentelemetry/api'],
    ['src/policies/retry.ts', '../http2/call.ts'],
    ['src/http2/call.ts', '../dispatchers/exchange.ts'],
    ['src/http2/call.ts', '@opentelemetry/api'],
    ['src/dispatchers/agent.ts', '../tracing/tracing.ts'],
    ['src/dispatchers/agent.ts', '../standard.ts'],
    ['src/dispatchers/agent.ts', '@opentelemetry/api'],
    ['src/tracing/tracing.ts', '../standard.ts'],
    ['src/tracing/tracing.ts', '../fetch/fetch.ts'],
    ['src/standard.ts', './fetch/fetch.ts'],
    ['src/fetch/fetch.ts', '../tracing/tracing.ts'],
    ['src/testing/server.ts', '../dispatchers/agent.ts'],
    ['src/testing/server.ts', '../policies/errors.ts'],
    ['src/testing/server.ts', 'vitest'],
    ['src/testing/server.ts', 'roundtripper'],
  ])('does not let %s import %s', (file, specifier) => {
    const source = `import type { a } from '${specifier}'\n`
    expect(findBreaches(new Map([[file, source]]), packages)).toEqual([
      expect.stringContaining(`${file} imports ${specifier}: `),
    ])
  })

  it.each([
    ['src/policies/backoff.ts', 'cockatiel'],
    ['src/policies/retry.ts', './backoff.ts'],
    ['src/policies/retry.ts', 'node:http'],
    ['src/dispatchers/retry.ts', '../policies/retry.ts'],
    ['src/dispatchers/origin.ts', '../http2/pool.ts'],
    ['src/http2/call.ts', '../policies/clock.ts'],
    ['src/tracing/start.ts', '@opentelemetry/sdk-node'],
    ['src/fetch/fetch.ts', '../standard.ts'],
    ['src/testing/server.ts', '../policies/options.ts'],
    ['src/index.ts', './fetch/fetch.ts'],
  ])('lets %s import %s', (file, specifier) => {
    expect(findBreaches(new Map([[file, `export { a } from '${specifier}'\n`]]), packages)).toEqual([])
  })

  it('does not let the index lead to the SDK, however long the way', () => {
    const sources = new Map([
      ['src/index.ts', "export { tracing } from './tracing/tracing.ts'\n"],
      ['src/tracing/tracing.ts', "import { load } from './load.ts'\n"],
      ['src/tracing/load.ts', "const sdk = await import('@opentelemetry/sdk-node')\nimport './start.ts'\n"],
    ])
    const way = 'src/index.ts > src/tracing/tracing.ts > src/tracing/load.ts'
    expect(findBreaches(sources, packages)).toEqual([
      `${way} > src/tracing/start.ts: importing the kit must not lead to the SDK`,
      `${way} imports @opentelemetry/sdk-node: importing the kit must not need an optional package`,
    ])
  })

  it('does not let a file lie outside the rooms', () => {
    expect(findBreaches(new Map([['src/other/thing.ts', '']]), packages)).toEqual([
      expect.stringContaining('src/other/thing.ts lies in none of src/policies/'),
    ])
  })

  it('reads every form of import, and no comment', () => {
    const source = [
      "import a from 'a'",
      "import type { B } from 'b'",
      'import {',
      '  c,',
      '  type D,',
      "} from './c.ts'",
      "import 'd'",
      "export * from 'e'",
      "export { f } from 'f'",
      "  const g = await import('g')",
      "  let h: import('h').H",
      '/**',
      " * import { x } from 'x'",
      ' */',
      "// import { y } from 'y'",
      "export const z = 'z'",
    ].join('\n')
    expect(importsOf(source)).toEqual(['a', 'b', './c.ts', 'd', 'e', 'f', 'g', 'h'])
  })
})

describe('length of files', () => {
  const longest = 400

  it(`keeps every file to ${longest} lines`, () => {
    const files = ['src', 'test', 'examples', 'bench', 'scripts'].flatMap((folder) => listFiles(folder, code))
    const lengths = files.map((path) => ({ path, lines: read(path).trimEnd().split('\n').length }))
    expect(lengths.length).toBeGreaterThan(0)
    expect(lengths.filter(({ lines }) => lines > longest)).toEqual([])
  })
})
