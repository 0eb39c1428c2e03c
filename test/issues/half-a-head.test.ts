// A session that ended in the middle of a head made node abort the process later, when garbage collection took the native part
// of the session before that of its stream: "Assertion failed: (current_nghttp2_memory_) == (0)".
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it('sessions that end in the middle of a head do not abort the process', async () => {
  const program = fileURLToPath(new URL('half-a-head.child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program], { timeout: 9_000 })
  expect(stdout).toBe('survived\n')
})
