import pLimit from 'p-limit'
import type { FetchAllProgress, FetchAllResult, FetchInput } from './fetch-all.ts'

/** What a {@link FanOut} is made of, checked by `fetchAll`. */
export interface FanOutParts<Input> {
  readonly inputs: Iterable<Input> | AsyncIterable<Input>
  readonly fetch: typeof globalThis.fetch
  readonly concurrency: number
  readonly onProgress: ((progress: FetchAllProgress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** One waiter, who looks for himself what has changed when it rings. */
class Bell {
  #wake: () => void = () => undefined

  heard(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  ring(): void {
    this.#wake()
  }
}

function countOf(inputs: object): number | undefined {
  if (Array.isArray(inputs)) return inputs.length
  return inputs instanceof Set ? inputs.size : undefined
}

function iterate<Input>(inputs: Iterable<Input> | AsyncIterable<Input>): Iterator<Input> | AsyncIterator<Input> {
  return Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]()
}

/** The call's own init with a signal that is also ours. */
function withSignal(target: string | URL | Request, given: RequestInit | undefined, ours: AbortSignal): RequestInit {
  const isRequest = typeof target === 'object' && 'signal' in target
  const init: RequestInit = { ...given }
  const theirs = init.signal === undefined && isRequest ? target.signal : init.signal
  if (isRequest && Object.keys(init).length === 0) {
    // An init with members resets these two, and the signal is one.
    init.referrer = target.referrer
    init.referrerPolicy = target.referrerPolicy
  }
  init.signal = theirs ? AbortSignal.any([ours, theirs]) : ours
  return init
}

/** One `fetchAll`: a reader that starts a call for each input while there is room, and the loop that takes the results. */
export class FanOut<Input extends FetchInput> {
  readonly #parts: FanOutParts<Input>
  readonly #total: number | undefined
  readonly #limit: ReturnType<typeof pLimit>
  readonly #results: FetchAllResult<Input>[] = []
  // Of every call whose result the loop has not let go of, by index.
  readonly #controllers = new Map<number, AbortController>()
  readonly #room = new Bell()
  readonly #change = new Bell()
  // Calls under way, and results not taken yet: p-limit bounds the former, but each of the latter holds a connection.
  #held = 0
  #started = 0
  #done = 0
  #failed = 0
  #source: Iterator<Input> | AsyncIterator<Input> | null = null
  #reading = true
  #pulling = false
  #stopped = false
  #left = false
  #failure: { readonly error: unknown } | null = null

  constructor(parts: FanOutParts<Input>) {
    this.#parts = parts
    this.#total = countOf(parts.inputs)
    this.#limit = pLimit(parts.concurrency)
  }

  async *run(): AsyncGenerator<FetchAllResult<Input>, void, undefined> {
    const { signal } = this.#parts
    if (signal?.aborted) return
    const onAbort = () => {
      this.#stop()
      this.#abortAll(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort)
    void this.#read()
    try {
      for (;;) {
        while (this.#results.length === 0 && this.#moreToCome) await this.#change.heard()
        const result = this.#results.shift()
        if (result === undefined) break
        this.#held--
        this.#room.ring()
        try {
          yield result
        } finally {
          this.#controllers.delete(result.index)
        }
      }
      if (this.#failure) throw this.#failure.error
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#left = true
      this.#stop()
      this.#abortAll(new DOMException('fetchAll was left before this call had ended', 'AbortError'))
      await this.#closeSource()
    }
  }

  get #moreToCome(): boolean {
    return (this.#reading && !this.#stopped) || this.#held > 0
  }

  async #read(): Promise<void> {
    try {
      const source = iterate(this.#parts.inputs)
      this.#source = source
      for (let index = 0; ; index++) {
        while (this.#held >= this.#parts.concurrency && !this.#stopped) await this.#room.heard()
        if (this.#stopped) return
        this.#pulling = true
        const next = await source.next()
        this.#pulling = false
        if (next.done) {
          this.#source = null
          return
        }
        if (this.#stopped) return
        this.#start(index, next.value)
      }
    } catch (error) {
      this.#source = null
      if (!this.#stopped) this.#failure = { error }
    } finally {
      this.#reading = false
      this.#change.ring()
    }
  }

  #start(index: number, input: Input): void {
    const controller = new AbortController()
    this.#controllers.set(index, controller)
    this.#held++
    this.#started++
    void this.#limit(() => this.#call(index, input, controller.signal))
    this.#tell()
  }

  async #call(index: number, input: Input, signal: AbortSignal): Promise<void> {
    const { fetch } = this.#parts
    try {
      const [target, init] = (Array.isArray(input) ? input : [input]) as [string | URL | Request, RequestInit?]
      const response = await fetch(target, withSignal(target, init, signal))
      this.#results.push({ index, input, status: 'fulfilled', response })
    } catch (error) {
      this.#failed++
      this.#results.push({ index, input, status: 'rejected', error })
    }
    this.#done++
    this.#change.ring()
    this.#tell()
  }

  #tell(): void {
    if (this.#left || this.#failure) return
    try {
      this.#parts.onProgress?.({
        started: this.#started,
        done: this.#done,
        failed: this.#failed,
        total: this.#total,
      })
    } catch (error) {
      this.#failure = { error }
      this.#stop()
    }
  }

  #stop(): void {
    this.#stopped = true
    this.#room.ring()
    this.#change.ring()
  }

  #abortAll(reason: unknown): void {
    for (const controller of this.#controllers.values()) controller.abort(reason)
  }

  async #closeSource(): Promise<void> {
    const closing = (async () => {
      await this.#source?.return?.()
    })()
    // A source that is about to give an input may never do so.
    if (this.#pulling) closing.catch(() => undefined)
    else await closing
  }
}
