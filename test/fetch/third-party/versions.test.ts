import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { cases } from './cases.ts'
import { turnsOf } from './world.ts'

const run = promisify(execFile)
const local = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// third-party.test.ts plays them on the Node that runs the tests, 22.
it.each([24, 26])('37: on Node %i all of it holds too', { timeout: 60_000 }, async (major) => {
  const node = local(`../../../node_modules/node-${major}/bin/node`)
  const { stdout } = await run(node, ['--no-warnings', local('./run.ts')], { env: { PATH: process.env.PATH } })
  expect(JSON.parse(stdout)).toEqual({
    version: expect.stringMatching(new RegExp(`^v${major}\\.`)),
    played: turnsOf(cases).length,
    failures: [],
  })
})
