import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createSecureContext, type SecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'

/** A server of the run, and what a call to it speaks: `both` offers HTTP/2 and HTTP/1.1, `h1c` is cleartext. */
export type ServerName = 'both' | 'h2' | 'h1' | 'h1c'

/** What the servers' process says once they listen. */
export interface ServersReady {
  readonly origins: Readonly<Record<ServerName, string>>
  /** Where connections are refused. */
  readonly refusing: string
  readonly ca: string
}

/** What the servers have seen so far. */
export interface ServerReport {
  readonly requests: number
  /** Calls of which at least one request came, by protocol. */
  readonly calls: Readonly<Record<'1.1' | '2', number>>
  /** Calls that a fault was really played to, by fault. */
  readonly played: Readonly<Record<string, number>>
  /** What no server should have seen. */
  readonly mistakes: readonly string[]
  readonly connections: number
  readonly connectionsOpened: number
}

/** What the servers' process can be asked. */
export type ServerRequest = 'report'

/** The servers, in a process of their own. */
export class Servers implements AsyncDisposable {
  readonly origins: Readonly<Record<ServerName, string>>
  readonly refusing: string
  /** How to connect: one context for all connections, since to make one costs more than a call. */
  readonly connect: { readonly secureContext: SecureContext }
  readonly #process: ChildProcess

  constructor(process: ChildProcess, { origins, refusing, ca }: ServersReady) {
    this.#process = process
    this.origins = origins
    this.refusing = refusing
    this.connect = { secureContext: createSecureContext({ ca }) }
  }

  async report(): Promise<ServerReport> {
    const answer = once(this.#process, 'message')
    this.#process.send('report' satisfies ServerRequest)
    const [report] = await answer
    return report as ServerReport
  }

  /** Waits until the servers have no open connection, at most `milliseconds`; returns how many are left. */
  async connectionsAfter(milliseconds: number): Promise<number> {
    const until = performance.now() + milliseconds
    for (;;) {
      const { connections } = await this.report()
      if (connections === 0 || performance.now() > until) return connections
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async close(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#process.disconnect()
    await exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Starts the servers. */
export async function startServers(): Promise<Servers> {
  const program = fileURLToPath(new URL('server-process.ts', import.meta.url))
  const child = fork(program, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const [ready] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`the servers' process ended with code ${code} before it was ready`)
    }),
  ])) as [ServersReady]
  return new Servers(child, ready)
}
