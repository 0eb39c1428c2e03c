import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { serve } from './servers.ts'

const run = promisify(execFile)
const local = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const versions = [
  { major: 22, node: local('../../node_modules/node/bin/node') },
  { major: 24, node: local('../../node_modules/node-24/bin/node') },
  { major: 26, node: local('../../node_modules/node-26/bin/node') },
]

/** Runs a fixture in a process that trusts `ca`, and returns what it wrote as JSON. */
async function play(
  node: string,
  fixture: string,
  origin = '',
  ca = '',
  variables: Record<string, string> = {},
): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'roundtripper-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const trusted = join(folder, 'ca.pem')
  await writeFile(trusted, ca)
  const { stdout, stderr } = await run(node, ['--no-warnings', local(`./fixtures/${fixture}`), origin], {
    env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: trusted, ...variables },
  })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

describe.each(versions)('on Node $major', ({ major, node }) => {
  it.each(['both', 'h2'] as const)(
    '37: global fetch negotiates HTTP/2 with a server that speaks %s',
    async (protocol) => {
      const { server } = await serve({ protocol, respond: { echo: true } })
      const look = { protocol: '2', seenByServer: '2', formArrived: true, instances: true }
      expect(await play(node, 'install-fetch.ts', server.origin, server.ca ?? '')).toEqual({
        version: expect.stringMatching(new RegExp(`^v${major}\\.`)),
        given: look,
        standard: look,
        restored: true,
        own: { formArrived: true, method: 'PATCH', body: 'text' },
      })
    },
  )

  it('37: global fetch falls back to HTTP/1.1 where the server speaks no other', async () => {
    const { server } = await serve({ protocol: 'h1', respond: { echo: true } })
    const look = { protocol: '1.1', seenByServer: '1.1', formArrived: true, instances: true }
    expect(await play(node, 'install-fetch.ts', server.origin, server.ca ?? '')).toMatchObject({
      given: look,
      standard: look,
    })
  })

  it('installFetch says which global is fixed, and changes none', async () => {
    expect(await play(node, 'fixed-globals.ts')).toEqual({
      replaced: true,
      restored: true,
      accessor: 'TypeError: installFetch: globalThis.FormData cannot be replaced: it is a fixed accessor',
      missing:
        'TypeError: installFetch: globalThis.Response cannot be replaced: it is missing, and globalThis is not extensible',
      kept: true,
    })
  })

  it('undo puts back what was sealed meanwhile, and refuses what was fixed, changing nothing', async () => {
    expect(await play(node, 'sealed-globals.ts')).toEqual({
      sealed: true,
      refused: 'TypeError: installFetch: globalThis.fetch cannot be put back: it is fixed since',
      kept: true,
      answer: 'ours',
    })
  })

  it('a fetch that was undone and then fixed in its place goes on as what was there before', async () => {
    expect(await play(node, 'fixed-undone.ts')).toEqual({ answer: 'text', isNative: true, isKept: true })
  })

  it("the installed fetch takes the proxy of the environment, and Node's own what it took before", async () => {
    const proxy = createServer((request, response) => response.end(`proxy: ${request.url}`))
    // A tunnel leads to the proxy itself.
    proxy.on('connect', (_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      proxy.emit('connection', socket)
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    onTestFinished(() => void proxy.close())
    const { port } = proxy.address() as AddressInfo
    const variables = { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: `http://127.0.0.1:${port}` }
    const { server } = await serve({ protocol: 'h1c', respond: { body: 'no proxy' } })
    // Importing undici 8 puts its own agent in place of that of Node 22, which knows no proxy. Node 24 makes a tunnel.
    const own = { 22: 'no proxy', 24: 'proxy: /', 26: `proxy: ${server.url()}` }[major]
    expect(await play(node, 'env-proxy.ts', server.origin, '', variables)).toEqual({
      before: own,
      installed: ['no proxy', 'proxy: http://nowhere.invalid/'],
      after: own,
      restored: true,
    })
  })
})
