// What is kept for each origin, with very many of them: bounded, but never at the cost of what is under way.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { Look } from './many-origins.child.ts'

const child = fileURLToPath(new URL('many-origins.child.ts', import.meta.url))

// What a per-origin map remembers, and the origins that are busy from the start.
const remembered = 1_000
const busy = 20

it('10,000 and 50,000 origins take no more memory than 2,000, and none with work in flight is forgotten', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child], {
    timeout: 115_000,
    killSignal: 'SIGKILL',
  })
  const looks = JSON.parse(stdout) as [Look, Look, Look]
  console.log(looks.map(({ called, bytes }) => `${called}: ${Math.round(bytes / 1024)} KB`).join(', '))

  for (const { known } of looks) {
    for (const [name, { origins, busy: stillBusy }] of Object.entries(known)) {
      expect(origins, name).toBe(remembered)
      expect(stillBusy, name).toBe(name === 'hedge' ? 0 : busy)
    }
  }
  const [few, many, most] = looks
  // Seven layers that kept 8,000 and 40,000 origins more would have at least 100 bytes for each.
  expect(many.bytes - few.bytes).toBeLessThan(1_000_000)
  expect(most.bytes - many.bytes).toBeLessThan(1_000_000)
}, 120_000)
