// A Redis of a test's own: on a free port, without a file, ended with the process.
import { spawn } from 'node:child_process'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import { endWithUs, freePort, programAt, untilListening } from '../servers/programs.ts'

const command = programAt('redis-server', 'redis-server')

/** Whether there is a Redis to run; where there has to be one, its absence is an error. */
export const hasRedis = command !== undefined

/** One Redis, which can be killed and started again on the same port, empty. */
export class RedisServer {
  readonly port: number
  #child: ReturnType<typeof spawn> | null = null

  constructor(port: number) {
    this.port = port
  }

  async start(): Promise<void> {
    const settings = { port: this.port, bind: '127.0.0.1', save: '', appendonly: 'no', loglevel: 'warning' }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    const child = endWithUs(spawn(command as string, args, { stdio: ['ignore', 'ignore', 'inherit'] }))
    this.#child = child
    await untilListening(this.port, child)
  }

  /** At once, as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#child = null
    const closed = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await closed
  }

  /** It answers nothing any more, while its connections stay. */
  stop(): void {
    this.#child?.kill('SIGSTOP')
  }

  goOn(): void {
    this.#child?.kill('SIGCONT')
  }
}

/** A running Redis, gone with the test. */
export async function startRedis(): Promise<RedisServer> {
  const server = new RedisServer(await freePort())
  onTestFinished(() => server.kill())
  await server.start()
  return server
}

/** A client that looks for a lost Redis every 20 ms, and gives up at once what it had asked it. */
export function clientOf({ port }: RedisServer): Redis {
  const client = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: 0, retryStrategy: () => 20 })
  // What happens to its connection is its own matter; the tests make it happen.
  client.on('error', () => {})
  onTestFinished(() => client.disconnect())
  return client
}
