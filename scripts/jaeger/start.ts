// A real Jaeger on this machine's loopback: in Docker where an engine answers, else as a program of its own.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { buildBinary, builtBinary, endWithUs, version } from './binary.ts'

const image = `jaegertracing/all-in-one:${version}`
const mostTraces = 10_000

export interface JaegerSettings {
  /**
   * Port for spans over OTLP/HTTP; 0 takes a free one.
   * @default 4318
   */
  readonly otlpPort?: number
  /**
   * Port for looking at traces; 0 takes a free one.
   * @default 16686
   */
  readonly queryPort?: number
  /** Told what takes long. */
  readonly log?: (line: string) => void
}

export interface RunningJaeger {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly otlpEndpoint: string
  /** For a browser, and for `/api/traces`. */
  readonly queryEndpoint: string
  /** How it was started, in words. */
  readonly kind: string
  /** Whether it has web pages; a Jaeger that was built here has only the API. */
  readonly hasPages: boolean
  /** Resolves when it has ended, by itself or by `stop()`. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** Whether {@link startJaeger} would need no build. */
export async function isJaegerAtHand(): Promise<boolean> {
  return (await builtBinary()) !== undefined || (await dockerAnswers())
}

/** Starts a Jaeger that keeps its traces in memory. Resolves when both ports answer. */
export async function startJaeger(settings: JaegerSettings = {}): Promise<RunningJaeger> {
  const { otlpPort = 4318, queryPort = 16686, log = () => {} } = settings
  let binary = (await dockerAnswers()) ? undefined : await binaryOf(log)

  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts([otlpPort, queryPort])
    const started = binary === undefined ? startContainer(ports) : startBinary(binary, ports)
    try {
      return await ready(started, ports, binary === undefined ? 300_000 : 30_000)
    } catch (error) {
      await stopChild(started.child)
      if (binary === undefined) {
        log(`going without Docker: ${(error as Error).message}`)
        binary = await binaryOf(log)
      } else if (attempt >= 3 || (otlpPort !== 0 && queryPort !== 0)) {
        throw error
      } else {
        // A port that was free may have been taken by somebody else since.
        log('Jaeger did not come up, trying other ports')
      }
    }
  }
}

async function binaryOf(log: (line: string) => void): Promise<string> {
  return (await builtBinary()) ?? (await buildBinary(log))
}

interface Ports {
  readonly otlp: number
  readonly query: number
}

interface Started {
  readonly child: ChildProcess
  readonly kind: string
  readonly hasPages: boolean
}

function startBinary(binary: string, { otlp, query }: Ports): Started {
  const child = spawn(binary, flags({ otlp: `127.0.0.1:${otlp}`, query: `127.0.0.1:${query}`, other: '127.0.0.1:0' }), {
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { child, kind: `Jaeger ${version}, built from its Go module`, hasPages: false }
}

function startContainer({ otlp, query }: Ports): Started {
  const args = ['run', '--rm', '-p', `127.0.0.1:${otlp}:4318`, '-p', `127.0.0.1:${query}:16686`]
  for (const [name, value] of Object.entries(variables)) args.push('-e', `${name}=${value}`)
  args.push(image, ...flags({ otlp: '0.0.0.0:4318', query: '0.0.0.0:16686', other: '127.0.0.1:0' }))
  const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  return { child, kind: `${image} in Docker`, hasPages: true }
}

// Or Jaeger sends spans about itself to whoever listens on 4317.
const variables = { SPAN_STORAGE_TYPE: 'memory', OTEL_TRACES_SAMPLER: 'always_off' }

function flags({ otlp, query, other }: { otlp: string; query: string; other: string }): string[] {
  return [
    `--collector.otlp.http.host-port=${otlp}`,
    `--query.http-server.host-port=${query}`,
    `--collector.otlp.grpc.host-port=${other}`,
    `--query.grpc-server.host-port=${other}`,
    `--collector.grpc-server.host-port=${other}`,
    `--collector.http-server.host-port=${other}`,
    `--admin.http.host-port=${other}`,
    `--memory.max-traces=${mostTraces}`,
    '--log-level=error',
  ]
}

async function ready(
  { child, kind, hasPages }: Started,
  { otlp, query }: Ports,
  milliseconds: number,
): Promise<RunningJaeger> {
  const otlpEndpoint = `http://127.0.0.1:${otlp}`
  const queryEndpoint = `http://127.0.0.1:${query}`
  let output = ''
  const keep = (chunk: Buffer) => {
    output = (output + chunk).slice(-4_000)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)

  endWithUs(child)
  let hasEnded = false
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      hasEnded = true
      resolve()
    }
    child.once('close', end)
    child.once('error', end)
  })

  const until = Date.now() + milliseconds
  while (!((await answers(`${queryEndpoint}/api/services`)) && (await answers(`${otlpEndpoint}/v1/traces`, '{}')))) {
    if (hasEnded) throw new Error(`${kind} ended instead of starting:\n${output}`)
    if (Date.now() > until) throw new Error(`${kind} did not answer within ${milliseconds} ms:\n${output}`)
    await pause(50)
  }
  if (hasEnded) throw new Error(`${kind} ended, and something else answers on its ports`)
  return { otlpEndpoint, queryEndpoint, kind, hasPages, ended, stop: () => stopChild(child) }
}

async function answers(url: string, body?: string): Promise<boolean> {
  const headers = { 'content-type': 'application/json' }
  const post = body === undefined ? {} : { method: 'POST', headers, body }
  try {
    const response = await fetch(url, { ...post, signal: AbortSignal.timeout(2_000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  const impatience = setTimeout(() => child.kill('SIGKILL'), 10_000)
  child.kill('SIGTERM')
  await closed
  clearTimeout(impatience)
}

// Asks the engine, because the command alone is also there where no engine runs.
function dockerAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 }, (error, stdout) =>
      resolve(error === null && stdout.trim() !== ''),
    )
  })
}

/** Makes sure that both ports are free; finds one for each 0. */
async function freePorts([otlp, query]: readonly [number, number]): Promise<Ports> {
  const servers = [createServer(), createServer()] as const
  const listen = (server: (typeof servers)[number], port: number, what: string) =>
    new Promise<number>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(new Error(`port ${port} for ${what} cannot be had (${cause.code}): choose another`, { cause })),
      )
      server.listen({ port, host: '127.0.0.1' }, () => resolve((server.address() as AddressInfo).port))
    })
  try {
    return { otlp: await listen(servers[0], otlp, 'OTLP'), query: await listen(servers[1], query, 'queries') }
  } finally {
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))))
  }
}
