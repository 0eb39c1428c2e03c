import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { listExamples } from '../../scripts/example-programs.ts'
import { root } from './files.ts'

it.each([
  ['without a name', [], 'No example named.'],
  ['with an unknown name', ['no-such-example'], 'There is no example "no-such-example".'],
])('npm run example %s lists the examples and fails', (_, args, message) => {
  const run = spawnSync(process.execPath, ['scripts/example.mjs', ...args], { cwd: root, encoding: 'utf8' })
  expect(run.status).toBe(1)
  expect(run.stderr.trim().split('\n')).toEqual([
    `${message} Use: npm run example -- NAME [URL], where NAME is one of`,
    ...[...listExamples(join(root, 'examples')).keys()].map((name) => `  ${name}`),
  ])
})

it('the examples are the programs of a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roundtripper-examples-'))
  try {
    for (const name of ['whole', 'parts']) mkdirSync(join(folder, name))
    for (const file of ['z.ts', 'a.ts', 'page.md', 'whole/main.ts', 'whole/table.ts', 'parts/table.ts']) {
      writeFileSync(join(folder, file), '')
    }
    expect([...listExamples(folder)]).toEqual([
      ['a', join(folder, 'a.ts')],
      ['whole', join(folder, 'whole/main.ts')],
      ['z', join(folder, 'z.ts')],
    ])
    expect(listExamples(join(folder, 'nowhere')).size).toBe(0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('there is an example for each use', () => {
  expect(listExamples(join(root, 'examples')).size).toBeGreaterThanOrEqual(5)
})
