import { setTimeout as sleep } from 'node:timers/promises'
import * as undici from 'undici'
import type { RecordedRequest, Step, StepFunction, TestServer } from '../../../src/testing/index.ts'
import type { Transport } from './case.ts'
import { boundary, bytesOf } from './observe.ts'
import { type RawHandler, RawServer } from './raw-server.ts'

type Answer = Step | StepFunction

/** The classes that belong to a fetch. */
export type Classes = Pick<typeof globalThis, 'Request' | 'Response' | 'Headers' | 'FormData'>

/** The two servers of one transport, which all runs share: the origin, and another one for what crosses origins. */
export interface Servers {
  readonly transport: Transport
  readonly origin: TestServer
  readonly other: TestServer
}

/** The runs under way, by the first segment of the path of their requests. */
export const runs = new Map<string, Env>()

let lastRun = 0

const arrivedMs = 50
const longestEndMs = 2_000

function unitOf(headers: readonly string[]): string[][] {
  const pairs: string[][] = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    // The order of pseudo headers is the transport's affair.
    if (!name.startsWith(':')) pairs.push([name, headers[at + 1]!])
  }
  return pairs
}

function pseudoOf(headers: readonly string[]): string[] {
  const found: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at]!.startsWith(':')) found.push(`${headers[at]} ${headers[at + 1]}`)
  }
  return found.sort()
}

/** What one run of a case works in: paths of its own on the servers, a dispatcher of its own, and what came of it. */
export class Env {
  readonly transport: Transport
  /** Whether this run is of undici's own fetch. */
  readonly isReference: boolean
  readonly dispatcher: undici.Dispatcher
  readonly received: RecordedRequest[] = []
  /** undici's classes, as the fetch in question returns and takes them. */
  readonly classes = undici as unknown as Classes
  /** The classes that the runtime has of its own. To the reference they are strangers, so it gets its own. */
  readonly runtime: Classes
  readonly #servers: Servers
  readonly #segment: string
  readonly #answers = new Map<string, Answer[]>()
  readonly #raw: RawServer[] = []
  #forgets = false
  readonly #waiting: { readonly path: string; readonly take: (request: RecordedRequest) => void }[] = []

  constructor(servers: Servers, dispatcher: undici.Dispatcher, isReference: boolean, runtime: Classes) {
    this.#servers = servers
    this.transport = servers.transport
    this.dispatcher = dispatcher
    this.isReference = isReference
    this.runtime = isReference ? this.classes : runtime
    this.#segment = `r${String(++lastRun).padStart(7, '0')}`
    runs.set(this.#segment, this)
  }

  get isHttp2(): boolean {
    return this.transport === 'h2'
  }

  get secure(): boolean {
    return this.transport !== 'h1c'
  }

  get origin(): string {
    return this.#servers.origin.origin
  }

  get otherOrigin(): string {
    return this.#servers.other.origin
  }

  /** The path on the wire of a path of this run. */
  path(path: string): string {
    return `/${this.#segment}${path}`
  }

  url(path = '/'): string {
    return this.origin + this.path(path)
  }

  /** The same on another origin. */
  other(path = '/'): string {
    return this.otherOrigin + this.path(path)
  }

  /** Says what requests to a path of this run get, on either server; the last answer repeats. Without it they get 'ok'. */
  on(path: string, ...answers: Answer[]): this {
    this.#answers.set(path, answers)
    return this
  }

  /** Starts an HTTP/1.1 server that answers bytes, and gives its URL. */
  async raw(handler: RawHandler): Promise<string> {
    const { certificate } = this.#servers.origin
    const server = await RawServer.start(this.secure ? certificate : undefined, handler)
    this.#raw.push(server)
    return `${server.origin}/raw`
  }

  /** Resolves with the next request to a path of this run. */
  arrival(path: string): Promise<RecordedRequest> {
    return new Promise((take) => this.#waiting.push({ path, take }))
  }

  /**
   * Resolves when the answer to a request has left the server and had ample time to arrive. Too short a time could only
   * make a case miss a fault, not fail.
   */
  async delivered(request: RecordedRequest): Promise<void> {
    await request.closed
    await this.pause()
  }

  /** Leaves time for what may still come of itself. Too short a time could only make a case miss it. */
  pause(): Promise<void> {
    return sleep(arrivedMs)
  }

  answer(request: RecordedRequest): Step | PromiseLike<Step> {
    this.received.push(request)
    const path = request.path.slice(this.#segment.length + 1)
    const bare = path.split('?', 1)[0]!
    for (let at = 0; at < this.#waiting.length; at++) {
      if (this.#waiting[at]!.path !== bare) continue
      this.#waiting[at]!.take(request)
      this.#waiting.splice(at, 1)
      break
    }
    const answers = this.#answers.get(path) ?? this.#answers.get(bare)
    if (answers === undefined) return { headers: { 'content-type': 'text/plain' }, body: 'ok' }
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!
    return typeof answer === 'function' ? answer(request) : answer
  }

  /** Ends the run: everything closed, everything received. Resolves with what did not end in time. */
  async finish(): Promise<string[]> {
    const open = new Set<string>()
    const bounded = (name: string, end: Promise<unknown>) => {
      open.add(name)
      return end.then(
        () => open.delete(name),
        () => open.delete(name),
      )
    }
    const all = [
      bounded('dispatcher', this.dispatcher.destroy()),
      ...this.received.map((request, at) => bounded(`request ${at}`, request.closed)),
      ...this.#raw.map((server, at) => bounded(`raw server ${at}`, server.close())),
    ]
    const over = new AbortController()
    await Promise.race([Promise.all(all), sleep(longestEndMs, undefined, { signal: over.signal }).catch(() => {})])
    over.abort()
    runs.delete(this.#segment)
    return [...open]
  }

  /** Leaves out what the servers saw: whether a request went out at all is a matter of time in this run. */
  forgetRequests(): void {
    this.#forgets = true
  }

  /** What the servers saw. */
  requests(): unknown[] {
    if (this.#forgets) return []
    return [
      ...this.received.map((request) => ({
        server: request.headers.host ?? request.headers[':authority'],
        method: request.method,
        path: request.path,
        protocol: request.protocol,
        pseudo: pseudoOf(request.rawHeaders),
        headers: unitOf(request.rawHeaders),
        trailers: request.trailers,
        complete: request.complete,
        body: request.complete ? bytesOf(request.body) : 'broken off',
      })),
      ...this.#raw.flatMap((server) => server.requests),
    ]
  }

  /** Takes out of an observation what differs from run to run: ports, the run's own path, boundaries, dates. */
  normalise(observation: unknown): unknown {
    const strings: [string | RegExp, string][] = [
      [this.#segment, '{run}'],
      [this.origin, '{origin}'],
      [this.otherOrigin, '{other}'],
      [`127.0.0.1:${this.#servers.origin.port}`, '{host}'],
      [`127.0.0.1:${this.#servers.other.port}`, '{other host}'],
      ...this.#raw.map(({ port }): [string, string] => [`127.0.0.1:${port}`, '{raw host}']),
      [boundary, '{boundary}'],
      [/[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT/g, '{date}'],
    ]
    const text = (value: string) => {
      let result = value
      for (const [found, name] of strings) result = result.replaceAll(found, name)
      return result
    }
    const walk = (value: unknown): unknown => {
      if (typeof value === 'string') return text(value)
      if (value === undefined) return '(undefined)'
      if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return String(value)
      if (typeof value !== 'object' || value === null) return value
      if (Array.isArray(value)) return value.map(walk)
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), walk(item)]))
    }
    return walk(observation)
  }
}
