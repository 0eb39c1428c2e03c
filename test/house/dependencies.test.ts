import { expect, it } from 'vitest'
import { listFiles, read } from './files.ts'
import { importsOf } from './imports.ts'

const manifest = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'devDependencies' | 'peerDependencies',
  Record<string, string>
>

it.each(['dependencies', 'devDependencies'] as const)('%s are pinned to exact versions', (group) => {
  const versions = Object.entries(manifest[group])
  expect(versions.length).toBeGreaterThan(0)
  expect(versions.filter(([, version]) => !/^(npm:[\w@/.-]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

it('every peer dependency is installed for the tests', () => {
  const peers = Object.keys(manifest.peerDependencies)
  expect(peers.length).toBeGreaterThan(0)
  expect(peers.filter((name) => manifest.devDependencies[name] === undefined)).toEqual([])
})

it('everything outside src/ imports only declared packages', () => {
  const declared = ['roundtripper', ...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)]
  const undeclared = ['test', 'examples', 'bench', 'scripts']
    .flatMap((folder) => listFiles(folder, ['.ts', '.mjs']))
    // The checks of this folder hold made-up modules as text.
    .filter((file) => !file.startsWith('test/house/'))
    .flatMap((file) => importsOf(read(file)).map((specifier) => ({ file, specifier })))
    .filter(({ specifier }) => !/^(node:|\.)/.test(specifier))
    .filter(({ specifier }) => !declared.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
  expect(undeclared).toEqual([])
})
