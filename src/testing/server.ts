import { checkNumber, checkOptions } from '../policies/options.ts'
import { type Certificate, devCertificate } from './certificate.ts'
import { Listener, type Protocol } from './listener.ts'
import { play } from './play.ts'
import type { RecordedRequest, Recording } from './recorded-request.ts'
import type { Reply } from './reply.ts'
import { type Answer, ScriptQueue } from './script.ts'
import { checkStep, type Script, type ScriptOptions } from './step.ts'

export interface ServerOptions {
  /**
   * What it speaks: `both` is TLS with HTTP/2 and HTTP/1.1 offered by ALPN, `h2` and `h1` TLS with only the one, `h1c` and `h2c` cleartext.
   * @default 'both'
   */
  readonly protocol?: Protocol
  /**
   * The script for all paths without one of their own, or a script for each path (`*` for the rest).
   * @default 200
   */
  readonly respond?: Script | ScriptMap
  /** @default devCertificate() */
  readonly certificate?: Certificate
  /**
   * How many bytes of each request's body are kept; the rest is counted and dropped.
   * @default 8388608
   */
  readonly bodyLimit?: number
}

/** Scripts by path; `*` is for all paths without one. */
export type ScriptMap = { readonly [path: `/${string}`]: Script; readonly '*'?: Script }

/** How many TCP connections a server has had, and has. */
export interface ConnectionCounts {
  readonly opened: number
  readonly open: number
}

const optionNames = ['protocol', 'respond', 'certificate', 'bodyLimit'] as const satisfies (keyof ServerOptions)[]
const protocols: readonly Protocol[] = ['both', 'h1', 'h2', 'h1c', 'h2c']
const defaultBodyLimit = 8 * 1024 * 1024

/**
 * Starts a server on a free port of 127.0.0.1.
 *
 * @throws TypeError or RangeError for a wrong option or step; Error where TLS is wanted and the package `selfsigned` is missing
 */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  checkOptions('startServer', options, optionNames)
  const { protocol = 'both', bodyLimit = defaultBodyLimit } = options
  if (!protocols.includes(protocol)) {
    throw new TypeError(`protocol must be one of ${protocols.join(', ')}, got ${String(protocol)}`)
  }
  checkNumber('bodyLimit', bodyLimit, { min: 0, integer: true })
  const secure = protocol !== 'h1c' && protocol !== 'h2c'
  const certificate = secure ? (options.certificate ?? (await devCertificate())) : undefined
  const server = new TestServer(protocol, bodyLimit, certificate)
  const { respond = 200 } = options
  if (isScriptMap(respond)) {
    for (const [path, script] of Object.entries(respond)) server.script(path, script)
  } else {
    server.script('*', respond)
  }
  await server.resume()
  return server
}

function isScriptMap(respond: Script | ScriptMap): respond is ScriptMap {
  if (typeof respond !== 'object' || Array.isArray(respond)) return false
  const names = Object.keys(respond)
  return names.length > 0 && names.every((name) => name === '*' || name.startsWith('/'))
}

function matches(request: RecordedRequest, path: string): boolean {
  return path === '*' || request.path === path || request.path.split('?', 1)[0] === path
}

function closedError(): Error {
  return new Error('the server is closed')
}

interface Waiter {
  /** Whether it has been served. */
  readonly check: (arrived: RecordedRequest | undefined) => boolean
  readonly reject: (error: Error) => void
}

/** A server on 127.0.0.1 that answers as it is told, and records what it gets. Made by {@link startServer}. */
export class TestServer implements AsyncDisposable {
  /** `undefined` in cleartext. */
  readonly certificate: Certificate | undefined
  /** All requests, in the order in which their heads came in. */
  readonly requests: RecordedRequest[] = []
  readonly #listener: Listener
  readonly #scripts = new Map([['*', new ScriptQueue(200)]])
  readonly #errors: unknown[] = []
  #waiters: Waiter[] = []
  #closing: Promise<void> | undefined = undefined

  /** @internal */
  constructor(protocol: Protocol, bodyLimit: number, certificate: Certificate | undefined) {
    this.certificate = certificate
    this.#listener = new Listener({
      protocol,
      certificate,
      bodyLimit,
      onRequest: (recording, reply) => this.#arrived(recording, reply),
      onChange: () => this.#changed(undefined),
    })
  }

  get port(): number {
    return this.#listener.port
  }

  /** Such as `https://127.0.0.1:40123`. */
  get origin(): string {
    return `${this.certificate === undefined ? 'http' : 'https'}://127.0.0.1:${this.port}`
  }

  /** What a caller must trust: `new Agent({ connect: { ca: server.ca } })`. `undefined` in cleartext. */
  get ca(): string | undefined {
    return this.certificate?.ca
  }

  get connections(): ConnectionCounts {
    return { opened: this.#listener.opened, open: this.#listener.connections.size }
  }

  url(path = '/'): string {
    return this.origin + path
  }

  /**
   * Says what the requests to a path get, one step each, from the first; takes the place of an earlier script. A path
   * with a query matches exactly, one without matches any query, `*` is for all paths without a script.
   *
   * @throws TypeError or RangeError for a step that cannot be played
   */
  script(path: string, script: Script, options?: ScriptOptions): this {
    if (path !== '*' && !path.startsWith('/')) throw new TypeError(`path must begin with '/' or be '*', got '${path}'`)
    if (path === '*' && options?.afterLast === 'default') {
      throw new TypeError("afterLast: 'default' goes on with the '*' script, and this is the '*' script")
    }
    this.#scripts.set(path, new ScriptQueue(script, options))
    return this
  }

  /** How many requests have come, to one path (named as in `script`) or in all. */
  count(path = '*'): number {
    let count = 0
    for (const request of this.requests) if (matches(request, path)) count++
    return count
  }

  /** Forgets the requests recorded so far, so that a long run does not keep their bodies. */
  clear(): void {
    this.requests.length = 0
  }

  /** Resolves with the first request that arrives after this call, at a path or at any. Rejects if the server closes before. */
  nextRequest(path = '*'): Promise<RecordedRequest> {
    return new Promise((resolve, reject) => {
      const check = (arrived: RecordedRequest | undefined) => {
        if (arrived === undefined || !matches(arrived, path)) return false
        resolve(arrived)
        return true
      }
      this.#wait({ check, reject })
    })
  }

  /**
   * Resolves as soon as the condition holds: it is asked now, and whenever a request arrives or ends or a connection
   * opens or closes. Rejects if the server closes before, or the condition throws.
   */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        try {
          if (!condition()) return false
          resolve()
        } catch (error) {
          reject(error)
        }
        return true
      }
      if (!check()) this.#wait({ check, reject })
    })
  }

  /** Resets every open connection (TCP RST), and goes on listening. Callers in this process know of it when it resolves. */
  resetConnections(): Promise<void> {
    return this.#listener.resetConnections()
  }

  /**
   * Closes every open connection and refuses new ones (ECONNREFUSED), until `resume()`. Callers in this process know of it
   * when it resolves.
   */
  refuseConnections(): Promise<void> {
    return this.#listener.refuse()
  }

  /** Listens again, on the same port. */
  async resume(): Promise<void> {
    if (this.#closing !== undefined) throw closedError()
    await this.#listener.listen()
  }

  /**
   * Stops listening and closes everything that is open. Throws what a step function threw, so that a broken script does
   * not pass unseen.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#listener.close()
    const waiters = this.#waiters
    this.#waiters = []
    for (const { reject } of waiters) reject(closedError())
    if (this.#errors.length === 1) throw this.#errors[0]
    if (this.#errors.length > 1) throw new AggregateError(this.#errors, 'several steps failed')
  }

  #wait(waiter: Waiter): void {
    if (this.#closing === undefined) this.#waiters.push(waiter)
    else waiter.reject(closedError())
  }

  #changed(arrived: RecordedRequest | undefined): void {
    if (this.#waiters.length > 0) this.#waiters = this.#waiters.filter(({ check }) => !check(arrived))
  }

  #arrived(recording: Recording, reply: Reply): void {
    this.requests.push(recording)
    const pathname = recording.path.split('?', 1)[0]!
    const answer =
      this.#scripts.get(recording.path)?.take() ??
      this.#scripts.get(pathname)?.take() ??
      this.#scripts.get('*')!.take()!
    void this.#answer(answer, recording, reply)
    this.#changed(recording)
  }

  async #answer(answer: Answer, recording: Recording, reply: Reply): Promise<void> {
    try {
      await play(typeof answer === 'function' ? checkStep(await answer(recording)) : answer, recording, reply)
    } catch (error) {
      this.#errors.push(error)
      recording.faulted = true
      reply.fail(`a step of the test server failed: ${String(error)}`)
    }
  }
}
