import { channel } from 'node:diagnostics_channel'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { recordedBytes } from '../../src/dispatchers/replay.ts'

const watched = [
  'unhandledRejection',
  'uncaughtException',
  'warning',
  'exit',
  'SIGTERM',
  'SIGINT',
  'beforeExit',
] as const
const channels = ['undici:request:create', 'undici:request:headers', 'undici:client:connected'] as const
// Left over by undici: it keeps idle sessions' timers for some time, and none of them holds the process.
const mostGrowth = 48 * 1024 * 1024

function listenerCounts(): Record<string, number> {
  const onProcess = watched.map((event) => [`process ${event}`, process.listenerCount(event)])
  const onChannels = channels.map((name) => [name, channel(name).hasSubscribers ? 1 : 0])
  return Object.fromEntries([...onProcess, ...onChannels])
}

function resourceCounts(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

let collect: (() => void) | null = null

/** Bytes of the heap that are in use after a collection. */
export function heapInUse(): number {
  if (collect === null) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
  return process.memoryUsage().heapUsed
}

/** How the process stood before a run; says afterwards what is different, and what nobody caught in between. */
export class ProcessState {
  readonly #listeners = listenerCounts()
  readonly #resources = resourceCounts()
  readonly #uncaught: string[] = []
  readonly #onRejection = (reason: unknown) => this.#note('unhandled rejection', reason)
  readonly #onException = (error: unknown) => this.#note('uncaught exception', error)
  #heap = 0

  constructor() {
    process.on('unhandledRejection', this.#onRejection)
    process.on('uncaughtException', this.#onException)
  }

  #note(what: string, error: unknown): void {
    this.#uncaught.push(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
  }

  /** Notes the memory in use, once everything is warm. */
  warm(): void {
    if (this.#heap === 0) this.#heap = heapInUse()
  }

  /** Stops watching. Returns what is not as before, after at most `milliseconds` of waiting for it. */
  async differences(milliseconds: number): Promise<string[]> {
    const until = performance.now() + milliseconds
    while (this.#resourcesLeft().length > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20).unref())
    }
    process.off('unhandledRejection', this.#onRejection)
    process.off('uncaughtException', this.#onException)
    const after = listenerCounts()
    const listeners = Object.entries(this.#listeners)
      .filter(([name, count]) => after[name] !== count)
      .map(([name, count]) => `listeners of ${name}: ${count} before, ${after[name]} after`)
    const recorded = recordedBytes() === 0 ? [] : [`${recordedBytes()} bytes of request bodies still recorded`]
    return [...this.#uncaught, ...listeners, ...this.#resourcesLeft(), ...recorded, ...this.#growth()]
  }

  #resourcesLeft(): string[] {
    return Object.entries(resourceCounts())
      .filter(([name, count]) => count > (this.#resources[name] ?? 0))
      .map(([name, count]) => `active ${name}: ${this.#resources[name] ?? 0} before, ${count} after`)
  }

  #growth(): string[] {
    if (this.#heap === 0) return []
    const grown = heapInUse() - this.#heap
    if (grown < mostGrowth) return []
    return [`the heap grew by ${Math.round(grown / 1024 / 1024)} MiB since the run was warm`]
  }
}
