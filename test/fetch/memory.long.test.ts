// Bodies that nobody reads, and what else is let go of, in great number. The calls are made in a process whose garbage collector
// can be called; what they leave behind is how much its memory grows with each 2,000 of them.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type StepOptions, startServer } from '../../src/testing/index.ts'
import type { Left, Task } from './memory.child.ts'

const child = fileURLToPath(new URL('memory.child.ts', import.meta.url))

const gzip = (body: Buffer): StepOptions => ({ body: gzipSync(body), headers: { 'content-encoding': 'gzip' } })
const small = Buffer.from('x'.repeat(1024))
// More than fetch takes before it is read (64 KB) and an HTTP/2 stream is let send besides (256 KB), compressed as well.
const large = randomBytes(400 * 1024)

const steps: Readonly<Record<string, StepOptions>> = {
  '/small': { body: small },
  '/small.gz': gzip(small),
  '/large': { body: large },
  '/large.gz': gzip(large),
  '/hang': { hang: 'head' },
}

type Kinds = Task['kinds']

const unreadSmall: Kinds = [
  ['unread', '/small'],
  ['unread', '/small.gz'],
  ['unread, one signal for all', '/small'],
  ['unread, one signal for all', '/small.gz'],
  ['unread, its stream asked for', '/small'],
  ['cloned, one of the two read', '/small'],
  ['cloned, one of the two read', '/small.gz'],
  ['cloned, none of the two read', '/small'],
]

const unreadLarge: Kinds = [
  ['unread', '/large'],
  ['unread', '/large.gz'],
  ['unread, one signal for all', '/large'],
  ['unread, one signal for all', '/large.gz'],
  ['unread, its stream asked for', '/large'],
  ['unread, its stream asked for', '/large.gz'],
  ['cloned, none of the two read', '/large'],
  ['cloned, none of the two read', '/large.gz'],
  ['read in part', '/large'],
  ['read in part', '/large.gz'],
]

const read: Kinds = [
  ['read, one signal for all', '/small'],
  ['read, one signal for all', '/small.gz'],
]

const aborted: Kinds = [
  ['aborted before its head', '/hang'],
  ['aborted unread', '/small'],
  ['aborted unread', '/large'],
  ['aborted unread', '/large.gz'],
  ['aborted while it is read', '/large'],
  ['aborted while it is read', '/large.gz'],
]

async function run(protocol: 'h1c' | 'h2', task: Pick<Task, 'kinds'> & Partial<Task>): Promise<Left> {
  const server = await startServer({
    protocol,
    respond: ({ path }) => {
      // It remembers every request.
      if (server.requests.length > 100) server.clear()
      return steps[path] as StepOptions
    },
  })
  onTestFinished(() => server.close())
  const { origin, ca } = server
  const whole: Task = { origin, ca, times: 5, calls: 2_000, together: 200, connections: 200, ...task }
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child, JSON.stringify(whole)], {
    timeout: 115_000,
    killSignal: 'SIGKILL',
  })
  return JSON.parse(stdout) as Left
}

// What is left of one kind in eight would be 250 responses, of three kilobytes at least; V8's own code grows by some 100 KB.
const mostGrowth = 300_000

/** How much more is in use after 2,000 calls more. V8 now and then frees megabytes of its own: the second smallest step. */
function growth({ bytes }: Left): number {
  const steps = bytes.slice(1).map((used, at) => used - (bytes[at] as number))
  return steps.toSorted((a, b) => a - b)[1] as number
}

describe.each(['h1c', 'h2'] as const)('10,000 calls over %s leave nothing behind', (protocol) => {
  it.each([
    ['whose small bodies nobody reads', unreadSmall],
    ['whose large bodies nobody reads', unreadLarge],
    ['that are read, with one signal for all', read],
    ['that are aborted', aborted],
  ] as const)(
    '%s',
    async (_name, kinds) => {
      const left = await run(protocol, { kinds })

      expect(growth(left)).toBeLessThan(mostGrowth)
      expect(left).toMatchObject({ listeners: 0, sockets: 0 })
    },
    120_000,
  )
})

// Over HTTP/2, one stream.
it.each(['h1c', 'h2'] as const)(
  'a body that is dropped unread gives its connection back: %s',
  async (protocol) => {
    const { sockets } = await run(protocol, { kinds: unreadLarge, times: 1, calls: 20, together: 10, connections: 1 })

    expect(sockets).toBe(0)
  },
  120_000,
)
