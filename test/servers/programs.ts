// The programs of others that the runs need, and how one is run.
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { devCertificate } from '../../src/testing/index.ts'
import type { Report, Task } from './task.ts'

// Where packages put them, beside PATH.
const moreFolders = ['/usr/local/go/bin', '/usr/local/sbin', '/usr/sbin']

function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...moreFolders]
  return folders
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/**
 * Where a program is. `undefined`, with a word, where it is not installed; with ROUNDTRIPPER_REQUIRE_SERVERS set that is
 * an error.
 */
export function programAt(name: 'nginx' | 'nghttpd' | 'go' | 'redis-server', packages: string): string | undefined {
  const file = find(name)
  if (file !== undefined) return file
  if (process.env.ROUNDTRIPPER_REQUIRE_SERVERS) throw new Error(`${name} is not installed (${packages})`)
  console.warn(`Skipped: ${name} is not installed (${packages}).`)
  return undefined
}

const folder = mkdtempSync(join(tmpdir(), 'roundtripper-servers-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

/** A path for a file of this process alone, gone when it ends. */
export function ownFile(name: string): string {
  return join(folder, name)
}

/** The files of the certificate that all servers here have, and what to trust. */
export async function certificateFiles(): Promise<{ key: string; cert: string; ca: string }> {
  const { key, cert, ca } = await devCertificate()
  const files = { key: ownFile('key.pem'), cert: ownFile('cert.pem'), ca }
  writeFileSync(files.key, key, { mode: 0o600 })
  writeFileSync(files.cert, cert)
  return files
}

/** Kills the child where this process ends before it. */
export function endWithUs<T extends ChildProcess>(child: T): T {
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('close', () => process.removeListener('exit', kill))
  return child
}

export type Piped = ChildProcessByStdio<Writable, Readable, null>

export function start(command: string, args: readonly string[]): Piped {
  return endWithUs(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
}

/** Resolves when the child has ended; rejects where it ended badly. */
export async function ended(child: ChildProcess, name: string): Promise<void> {
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
}

const built = new Map<string, Promise<string>>()

/** Builds a program of the module in go/, which needs nothing but Go's own library. */
export function buildGo(go: string, name: 'client' | 'server'): Promise<string> {
  let binary = built.get(name)
  if (binary === undefined) {
    const out = ownFile(`go-${name}`)
    const cwd = fileURLToPath(new URL('./go/', import.meta.url))
    const env = { ...process.env, GOWORK: 'off', GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' }
    const args = ['build', '-buildvcs=false', '-o', out, `./${name}`]
    const build = endWithUs(spawn(go, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] }))
    binary = ended(build, `go build ./${name}`).then(() => out)
    built.set(name, binary)
  }
  return binary
}

async function runClient(command: string, args: readonly string[], task: Task): Promise<Report> {
  const child = start(command, args)
  child.stdin.end(JSON.stringify(task))
  const [report] = await Promise.all([text(child.stdout), ended(child, 'the client')])
  return JSON.parse(report) as Report
}

/** A client that does one run. */
export type Client = (task: Task) => Promise<Report>

/** `createAgent()`, in a process of its own. */
export const ours: Client = (task) =>
  runClient(process.execPath, [fileURLToPath(new URL('./client.ts', import.meta.url))], task)

/** Go's net/http. */
export function goClient(go: string): Client {
  return async (task) => runClient(await buildGo(go, 'client'), [], task)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Resolves when something listens on the port, or the child has ended. */
export async function untilListening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    const listens = await new Promise<boolean>((resolve) => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    })
    socket.destroy()
    if (listens) return
    await pause(20)
  }
}
