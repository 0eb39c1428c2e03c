import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Transport } from './case.ts'
import type { MatrixResult } from './runner.ts'
import type { SubjectName } from './subjects.ts'

const run = promisify(execFile)
const local = (path: string) => fileURLToPath(new URL(path, import.meta.url))
// Some 40 s on two free cores.
const longestMs = 300_000

interface Part {
  readonly transport: Transport
  readonly subject?: SubjectName
}

// Every dispatcher on the oldest Node, where TLS adds nothing to HTTP/1.1 but bytes; on the newer ones, the fetch that
// users get over TLS: the dispatchers are the same code there.
const oldest: readonly Part[] = [
  { transport: 'h1c' },
  { transport: 'h1', subject: 'over the agent' },
  { transport: 'h2' },
]
const newer: readonly Part[] = [
  { transport: 'h1c' },
  { transport: 'h1', subject: 'over the agent' },
  { transport: 'h2', subject: 'over the agent' },
]

const versions = [
  { major: 22, node: local('../../../node_modules/node/bin/node'), parts: oldest },
  { major: 24, node: local('../../../node_modules/node-24/bin/node'), parts: newer },
  { major: 26, node: local('../../../node_modules/node-26/bin/node'), parts: newer },
]

/** Runs main.ts in a process of its own, so that what nobody catches there is seen, and gives the JSON that it writes. */
async function output(node: string, more: readonly string[]): Promise<string> {
  const args = ['--no-warnings', local('./main.ts'), '--json', ...more]
  try {
    return (await run(node, args, { maxBuffer: 1 << 28 })).stdout
  } catch (error) {
    // It exits with 1 where there are differences, and tells them all the same.
    const { stdout } = error as { stdout?: string }
    if (stdout?.startsWith('{') || stdout?.startsWith('[')) return stdout
    throw error
  }
}

async function matrix(node: string, { transport, subject }: Part): Promise<MatrixResult & { version: string }> {
  const more = subject === undefined ? [] : ['--subject', subject]
  return JSON.parse(await output(node, ['--transport', transport, ...more]))
}

describe.each(versions)('on Node $major', ({ major, node, parts }) => {
  it(
    'fetch does what undici.fetch does, value by value',
    async () => {
      const results = await Promise.all(parts.map((part) => matrix(node, part)))
      for (const [at, { version, cases, compared, differences, outdated }] of results.entries()) {
        expect(version).toMatch(new RegExp(`^v${major}\\.`))
        expect(differences).toEqual([])
        expect(outdated).toEqual([])
        expect(cases).toBeGreaterThan(1_500)
        expect(compared).toBe(cases * (parts[at]!.subject === undefined ? 3 : 1))
      }
    },
    longestMs,
  )
})

it(
  'what is sent is handed on to undici.fetch only where that is meant',
  async () => {
    expect(JSON.parse(await output(versions[0]!.node, ['--delegated']))).toEqual([])
  },
  longestMs,
)
