import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { Transport } from './case.ts'
import type { MatrixResult } from './runner.ts'
import type { SubjectName } from './subjects.ts'

const run = promisify(execFile)
const local = (path: string) => fileURLToPath(new URL(path, import.meta.url))
// Some 40 s on two free cores.
const longestMs = 300_000

/** What one process of the matrix runs. */
export interface Part {
  readonly transport: Transport
  readonly subject?: SubjectName
}

/** Runs main.ts in a process of its own, so that what nobody catches there is seen, and gives the JSON that it writes. */
export async function matrixOutput(node: string, more: readonly string[]): Promise<string> {
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
  return JSON.parse(await matrixOutput(node, ['--transport', transport, ...more]))
}

/** Runs the matrix in parts on one Node: `folder` is that of its package. */
export function itHoldsOn(major: number, folder: string, parts: readonly Part[]): void {
  it(
    `fetch does what undici.fetch does, value by value, on Node ${major}`,
    async () => {
      const node = local(`../../../node_modules/${folder}/bin/node`)
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
}
