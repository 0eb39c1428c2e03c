// Run by memory.long.test.ts with --expose-gc: makes many calls, lets go of whatever they gave, and says what is left of them.
// A process of its own, so that nothing else is in its memory; the server is in another.
import { getEventListeners } from 'node:events'
import { createAgent, createFetch } from '../../src/index.ts'

/** What is done with each response before it is dropped. */
export type Way =
  | 'unread'
  | 'unread, one signal for all'
  | 'read, one signal for all'
  | 'unread, its stream asked for'
  | 'cloned, one of the two read'
  | 'cloned, none of the two read'
  | 'read in part'
  | 'aborted before its head'
  | 'aborted unread'
  | 'aborted while it is read'

export interface Task {
  readonly origin: string
  readonly ca: string | undefined
  /** What the calls do, in turn: the way, and the path that is called. */
  readonly kinds: readonly (readonly [way: Way, path: string])[]
  /** How often so many calls are made. Memory is looked at after each time. */
  readonly times: number
  readonly calls: number
  /** How many calls are made at once. */
  readonly together: number
  /** Of the agent: HTTP/1.1 connections, or streams on the one HTTP/2 session. */
  readonly connections: number
}

export interface Left {
  /** In use after collections, at each look. */
  readonly bytes: readonly number[]
  /** Listeners of the signal that all calls share. */
  readonly listeners: number
  /** Open when the agent was closed. */
  readonly sockets: number
}

const task = JSON.parse(process.argv[2] as string) as Task
const { kinds, together, connections } = task
const collectGarbage = globalThis.gc as () => void
const agent = createAgent({ connections, maxConcurrentStreams: connections, connect: { ca: task.ca as string } })
const fetch = createFetch(agent)
const { signal } = new AbortController()

const ways: Record<Way, (url: string) => Promise<unknown>> = {
  unread: (url) => fetch(url),
  'unread, one signal for all': (url) => fetch(url, { signal }),
  'read, one signal for all': async (url) => (await fetch(url, { signal })).arrayBuffer(),
  'unread, its stream asked for': async (url) => (await fetch(url)).body,
  'cloned, one of the two read': async (url) => (await fetch(url)).clone().arrayBuffer(),
  'cloned, none of the two read': async (url) => (await fetch(url)).clone(),
  'read in part': async (url) => (await fetch(url)).body?.getReader().read(),
  async 'aborted before its head'(url) {
    const own = new AbortController()
    setImmediate(() => own.abort())
    await fetch(url, { signal: own.signal }).catch(() => undefined)
  },
  async 'aborted unread'(url) {
    const own = new AbortController()
    await fetch(url, { signal: own.signal })
    own.abort()
  },
  async 'aborted while it is read'(url) {
    const own = new AbortController()
    const body = (await fetch(url, { signal: own.signal })).arrayBuffer()
    own.abort()
    await body.catch(() => undefined)
  },
}

const turn = () => new Promise(setImmediate)

// More turns than are ever needed.
const mostTurns = 1_000

async function collectUntil(what: string, holds: () => boolean): Promise<void> {
  for (let turns = 0; turns < mostTurns; turns++) {
    if (holds()) return
    collectGarbage()
    await turn()
  }
  throw new Error(`${what}, after ${mostTurns} collections`)
}

let begun = 0

async function callAndDrop(): Promise<void> {
  const [way, path] = kinds[begun++ % kinds.length] as Task['kinds'][number]
  await ways[way](task.origin + path)
}

// An origin without a connection is in no statistics.
const underWay = () => agent.stats[task.origin]?.streams ?? 0

async function make(calls: number): Promise<void> {
  for (let made = 0; made < calls; made += together) {
    let pending = together
    const over = () => {
      pending--
    }
    const all = Promise.all(Array.from({ length: together }, () => callAndDrop().finally(over)))
    // Where there are fewer connections than calls, the later ones wait for those that hold dropped bodies.
    if (connections < together) await collectUntil(`calls wait: ${pending}`, () => pending === 0)
    await all
    await collectUntil(`calls that are not over: ${underWay()}`, () => underWay() === 0)
  }
}

async function bytesInUse(): Promise<number> {
  for (let turns = 0; turns < 10; turns++) {
    collectGarbage()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const sockets = () => process.getActiveResourcesInfo().filter((name) => /TCP|TLS/.test(name)).length

const bytes: number[] = []
for (let time = 0; time < task.times; time++) {
  await make(task.calls)
  bytes.push(await bytesInUse())
}
const listeners = getEventListeners(signal, 'abort').length
await agent.close()
for (let turns = 0; turns < mostTurns && sockets() > 0; turns++) await turn()
console.log(JSON.stringify({ bytes, listeners, sockets: sockets() } satisfies Left))
