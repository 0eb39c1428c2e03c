// Checks what users get: packs the package, lints the tarball, installs it into an empty project and uses it there.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const bin = (name) => resolve('node_modules/.bin', name)
const { peerDependencies, peerDependenciesMeta, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'roundtripper-package-'))
const consumer = join(folder, 'consumer')

function step(title, command, args, cwd = '.') {
  console.log(`- ${title}`)
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    console.error(`${error.stdout ?? ''}${error.stderr ?? ''}`)
    throw new Error(`${title}: failed`)
  }
}

function pack() {
  const [packed] = JSON.parse(step('npm pack', 'npm', ['pack', '--json', '--pack-destination', folder]))
  const stray = packed.files
    .map((file) => file.path)
    .filter(
      (path) =>
        !/^(dist\/.+\.(js|d\.ts)|package\.json|config\.schema\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path),
    )
  if (stray.length > 0) throw new Error(`npm pack: not meant for users: ${stray.join(', ')}`)
  console.log(`  ${packed.entryCount} files, ${Math.round(packed.size / 1024)} KiB packed`)
  return join(folder, packed.filename)
}

// The versions the tests ran with, so that a new release elsewhere breaks nothing here.
const pinned = (names) => names.map((name) => `${name}@${devDependencies[name]}`)

function install(title, packages) {
  step(title, 'npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...packages], consumer)
}

function load(title, specifiers) {
  const source = specifiers
    .map((name) => `if (Object.keys(await import('${name}')).length === 0) throw new Error('${name} exports nothing')`)
    .join('\n')
  step(title, process.execPath, ['--input-type=module', '--eval', source], consumer)
}

try {
  step('build', process.execPath, ['scripts/build.mjs'])
  const tarball = pack()
  console.log(step('publint', bin('publint'), ['run', '--strict', tarball]).trim())
  step('attw', bin('attw'), ['--profile', 'esm-only', '--no-color', '--no-emoji', tarball])

  cpSync('test/house/consumer', consumer, { recursive: true })
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))

  const optional = (name) => peerDependenciesMeta[name]?.optional === true
  const peers = Object.keys(peerDependencies)
  install('install without the optional packages', [tarball, ...pinned(peers.filter((name) => !optional(name)))])
  load("import '.' without them", ['roundtripper'])

  step(
    'the optional package of ./config is asked for by its name',
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      "const { fromConfig } = await import('roundtripper/config')\n" +
        'try { fromConfig({ upstreams: {} }) } catch (error) { if (!/npm install ajv@8/.test(error.message)) throw error }',
    ],
    consumer,
  )

  install('install with them', pinned([...peers.filter(optional), '@types/node']))
  load(
    "import '.', './tracing', './redis', './config', './testing'",
    ['.', './tracing', './redis', './config', './testing'].map((name) => join('roundtripper', name)),
  )
  step('types in a consumer', bin('tsc'), ['-p', consumer])
  console.log('The package is sound.')
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
