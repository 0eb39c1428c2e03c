// Random and hostile frames against the agent: whatever comes, each call starts at most once and settles once, nothing is thrown
// where nobody catches it, memory comes back, and afterwards the agent goes on as if nothing had been.
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { attemptTimeout, type ChainDispatcher, compose, createAgent, type PoolAgent } from 'roundtripper'
import { seededRandom } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { breachOf, Consumer } from '../contract/consumer.ts'
import { type FrameConnection, FrameServer } from '../http2/frames.ts'
import { Dice, kindNames, kinds } from './hostile.ts'

export interface FuzzResult {
  readonly seed: number
  readonly frames: number
  readonly calls: number
  /** How the calls ended, by the code of their error. */
  readonly ends: ReadonlyMap<string, number>
  /** Bytes held after it beyond those held before, all garbage collected. */
  readonly grown: number
}

export interface FuzzOptions {
  /** Ends after as many frames. */
  readonly frames: number
  readonly seed?: number
  /** Kinds to play; all by default. */
  readonly only?: readonly string[]
  readonly log?: (line: string) => void
}

const callsAtOnce = 6
const longestSettle = 5_000

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at++) await turn()
}

let collect: (() => void) | undefined

/** Bytes that are held when all garbage is collected. */
async function held(): Promise<number> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  for (let at = 0; at < 4; at++) {
    await turns(5)
    collect()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

class Fuzz {
  readonly ends = new Map<string, number>()
  frames = 0
  calls = 0
  private readonly dice: Dice
  private readonly server: FrameServer
  private agent!: PoolAgent
  // So that a call that waits can be given up.
  private chain!: ChainDispatcher
  private readonly names: readonly string[]
  private playing = ''

  constructor(dice: Dice, server: FrameServer, names: readonly string[]) {
    this.dice = dice
    this.server = server
    this.names = names
  }

  async start(): Promise<void> {
    await this.end()
    // node:http2 does not always hear of a connection that is gone: the agent finds out by PING.
    this.agent = createAgent({ useH2c: true, pingInterval: 100, pingTimeout: 100, proxy: false })
    this.chain = compose(this.agent, attemptTimeout(60_000))
  }

  async end(): Promise<void> {
    await this.agent?.destroy()
  }

  private play(connection: FrameConnection, stream: number): void {
    const { dice } = this
    const { socket } = connection
    // Among good answers the bad find sessions that have something to lose.
    const name = dice.chance(0.5) ? 'answer' : dice.pick(this.names)
    this.playing = name
    const frames = kinds[name]!(dice, stream)
    this.frames += frames.length
    let bytes = Buffer.concat(frames)
    if (dice.chance(0.1)) bytes = bytes.subarray(0, dice.below(bytes.length + 1))
    const way = dice.below(10)
    if (way === 0 && bytes.length < 3000) {
      for (const byte of bytes) socket.write(Buffer.from([byte]))
    } else if (way < 4) {
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + dice.below(dice.pick([10, 100, 20_000]))
        socket.write(bytes.subarray(at, at + size))
        at += size
      }
    } else {
      socket.write(bytes)
    }
    const end = dice.random()
    if (end < 0.05) socket.end()
    else if (end < 0.1) socket.resetAndDestroy()
  }

  private options(): Dispatcher.DispatchOptions {
    const { dice } = this
    const common = { origin: this.server.origin, path: '/' }
    switch (dice.below(6)) {
      case 0:
        return { ...common, method: 'POST', body: 'order' }
      case 1:
        return { ...common, method: 'POST', body: Readable.from(['or', 'der']) }
      case 2:
        return { ...common, method: 'PUT', body: Buffer.alloc(200_000) }
      case 3:
        return { ...common, method: 'POST', body: 'order', trailers: { 'x-a': '1' } } as Dispatcher.DispatchOptions
      default:
        return { ...common, method: dice.pick(['GET', 'HEAD', 'DELETE'] as const) }
    }
  }

  private call(): Consumer {
    const paused = this.dice.chance(0.2)
    const consumer = new Consumer(paused ? { head: (one) => one.pause() } : {})
    this.chain.dispatch(this.options(), consumer)
    this.calls++
    return consumer
  }

  private async settle(consumer: Consumer): Promise<void> {
    const latest = performance.now() + longestSettle
    while (!consumer.isOver) {
      consumer.controller?.abort(Object.assign(new Error('long enough'), { code: 'given up' }))
      if (performance.now() > latest)
        throw new Error(
          `a call did not settle, after ${this.playing}: ${consumer.events.join(' > ')} ${JSON.stringify(this.agent.stats)}`,
        )
      await turn()
    }
    const breach = breachOf(consumer.events)
    if (breach !== null) throw new Error(`${breach}, after ${this.playing}`)
    const { code = 'no code' } = (consumer.error ?? { code: 'whole' }) as { code?: string }
    this.ends.set(code, (this.ends.get(code) ?? 0) + 1)
  }

  async round(): Promise<void> {
    const { dice, server } = this
    server.onStream = (connection, stream) => this.play(connection, stream)
    server.onConnection = (connection) => {
      if (dice.chance(0.05)) this.play(connection, 1)
      else connection.settings(dice.pick([undefined, 1, 100]))
    }
    const consumers = Array.from({ length: callsAtOnce }, () => this.call())
    await turns(1 + dice.below(8))
    for (const consumer of consumers) await this.settle(consumer)
  }

  /** The server comes to its senses: a call is answered whole. */
  async recover(): Promise<void> {
    const { server } = this
    // It asked for HTTP/1.1 by chance, and would have to speak it now.
    if (this.agent.stats[server.origin]?.protocol === '1.1') await this.start()
    server.onConnection = (connection) => connection.settings()
    server.onStream = (connection, stream) => connection.answer(stream)
    for (const { socket } of server.connections.splice(0)) socket.destroy()
    await turns(20)
    const consumer = new Consumer()
    this.agent.dispatch({ origin: server.origin, path: '/', method: 'GET' }, consumer)
    const latest = performance.now() + longestSettle
    while (!consumer.isOver && performance.now() < latest) await turn()
    if (consumer.events.at(-1) !== 'end') {
      throw new Error(
        `the agent did not recover after ${this.playing}: ${consumer.events.join(' > ')} ${consumer.error}`,
      )
    }
    const left = () => {
      const { streams = 0, queued = 0 } = this.agent.stats[server.origin] ?? {}
      return streams + queued
    }
    while (left() > 0 && performance.now() < latest) await turn()
    if (left() > 0) throw new Error(`left behind: ${JSON.stringify(this.agent.stats)}`)
  }
}

/** @throws Error that tells the seed, where anything is not as it must be. */
export async function fuzz({ frames, seed, only = kindNames, log = () => {} }: FuzzOptions): Promise<FuzzResult> {
  const chance = seededRandom(seed)
  const server = await new FrameServer().listen()
  const campaign = new Fuzz(new Dice(chance.next), server, only)
  try {
    await campaign.start()
    // What is made once is made by now.
    for (let at = 0; at < 20; at++) await campaign.round()
    await campaign.recover()
    const before = await held()
    let rounds = 0
    while (campaign.frames < frames) {
      await campaign.round()
      if (++rounds % 10 === 0) await campaign.recover()
      if (rounds % 500 === 0) log(`${campaign.frames} frames, ${campaign.calls} calls`)
    }
    await campaign.recover()
    const grown = (await held()) - before
    return { seed: chance.seed, frames: campaign.frames, calls: campaign.calls, ends: campaign.ends, grown }
  } catch (error) {
    throw new Error(`seed ${chance.seed}: ${(error as Error).message}`, { cause: error })
  } finally {
    await campaign.end()
    server.close()
  }
}
