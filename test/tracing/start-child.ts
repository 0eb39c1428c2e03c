// Programs of their own for what is global to a process: signals, exit codes, OpenTelemetry's globals, the environment.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const startUrl = new URL('../../src/tracing/start.ts', import.meta.url).href

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** Messages of the kit's own warnings. */
  readonly warnings: readonly string[]
}

export interface Program {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  /** Resolves when the program has printed this line. */
  printed(line: string): Promise<void>
}

const preamble = `
  import { context, trace, propagation } from '@opentelemetry/api'
  import { startTracing } from ${JSON.stringify(startUrl)}
  const span = (name) => trace.getTracer('test').startSpan(name).end()
`

/** Runs a module that has `startTracing`, the API and `span(name)` at hand, with only these OTEL_ variables set. */
export function run(body: string, variables: Readonly<Record<string, string>> = {}): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(OTEL|VITEST|NODE_OPTIONS|NODE_ENV)/.test(name))
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', preamble + body],
    {
      cwd: root,
      env: { ...Object.fromEntries(inherited), OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let stdout = ''
  let stderr = ''
  const waiting = new Map<string, () => void>()
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    for (const [line, found] of waiting) if (stdout.split('\n').includes(line)) found()
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const warnings = stderr.split('\n').filter((line) => line.includes('[ROUNDTRIPPER_TRACING]'))
      resolve({ code, signal, stdout, stderr, warnings })
    })
  })
  const printed = (line: string) =>
    Promise.race([
      new Promise<void>((resolve) => waiting.set(line, resolve)),
      ended.then((end) => {
        if (!end.stdout.split('\n').includes(line)) throw new Error(`ended without ${line}: ${JSON.stringify(end)}`)
      }),
    ])
  return { process: child, ended, printed }
}
