import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { read, root } from './files.ts'

const testCommand = 'npm ci && npm test'
const demoCommand = 'npm ci && npm run demo'

/** The shell lines of a page: what a reader copies. */
function shellLines(page: string): string[] {
  const fences = page.matchAll(/^```(?:sh|bash|shell|console)\n(?<lines>[\s\S]*?)^```$/gm)
  return [...fences]
    .flatMap((fence) => fence.groups!.lines!.split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
}

describe('README.md', () => {
  it.each([demoCommand, testCommand])('gives the command %s', (command) => {
    expect(shellLines(read('README.md'))).toContain(command)
  })
})

describe('.ci/run', () => {
  it("runs exactly the README's test command", () => {
    const steps = read('.ci/run').matchAll(/^step test \d+ '(?<command>[^']*)'$/gm)
    expect([...steps].map((match) => match.groups!.command)).toEqual([testCommand])
  })

  it('runs only scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json'))
    const names = [...read('.ci/run').matchAll(/npm run (?<name>[\w:]+)/g)].map((match) => match.groups!.name)
    expect(names.length).toBeGreaterThan(0)
    expect(names.filter((name) => !Object.hasOwn(scripts, name!))).toEqual([])
  })

  it('can be run', () => {
    expect(() => accessSync(join(root, '.ci/run'), constants.X_OK)).not.toThrow()
  })
})

it('every script of package.json runs a file that is there', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const files = Object.values(scripts).flatMap((script) => /\bnode (\S+)/.exec(script)?.[1] ?? [])
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) expect(() => read(file)).not.toThrow()
})
