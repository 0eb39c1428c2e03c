// Jaeger as a program of this machine: built once from its Go module, whose checksums are beside this file.
import { type ChildProcess, spawn } from 'node:child_process'
import { access, constants, mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The version in go.mod, and of the Docker image. */
export const version = '1.65.0'

const program = 'github.com/jaegertracing/jaeger/cmd/all-in-one'
const here = fileURLToPath(new URL('.', import.meta.url))

function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'roundtripper', `jaeger-v${version}`)
}

/** Where the built program is, or `undefined`. */
export async function builtBinary(): Promise<string | undefined> {
  const binary = join(cacheFolder(), 'jaeger')
  return access(binary, constants.X_OK).then(
    () => binary,
    () => undefined,
  )
}

/** Builds the program, and returns where it is. */
export async function buildBinary(log: (line: string) => void): Promise<string> {
  const binary = join(cacheFolder(), 'jaeger')
  const unfinished = `${binary}.${process.pid}`
  await mkdir(cacheFolder(), { recursive: true })
  log(`building Jaeger ${version} from its Go module, which takes some minutes, once`)
  try {
    await runGo(['build', '-mod=readonly', '-buildvcs=false', '-trimpath', '-o', unfinished, program], log)
    await rename(unfinished, binary)
  } finally {
    await rm(unfinished, { force: true })
  }
  return binary
}

async function runGo(args: readonly string[], log: (line: string) => void): Promise<void> {
  const go = spawn('go', args, {
    cwd: here,
    env: { ...process.env, GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  endWithUs(go)
  let output = ''
  go.stderr.on('data', (chunk) => {
    output += chunk
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    go.on('close', resolve)
    go.on('error', (cause: NodeJS.ErrnoException) => {
      const missing = 'no Jaeger: no Docker engine answers, and to build one, Go 1.24 or newer has to be installed'
      reject(cause.code === 'ENOENT' ? new Error(missing, { cause }) : cause)
    })
  })
  if (code !== 0) throw new Error(`go ${args[0]} failed:\n${output.trim().split('\n').slice(-20).join('\n')}`)
  log('built')
}

/** Kills the child where this process ends before it, unless by a signal that nobody listens to. */
export function endWithUs(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('close', () => process.removeListener('exit', kill))
}
