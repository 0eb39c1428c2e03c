import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const child = fileURLToPath(new URL('replay-uploads.child.ts', import.meta.url))

it('17: an upload over HTTP/2 can be given up at any moment, and the process goes on', async () => {
  const run = promisify(execFile)
  const { stdout } = await run(process.execPath, ['--max-old-space-size=300', child], {
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  expect(stdout).toBe('all given up\n')
}, 65_000)
