import { getEventListeners } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FetchAllProgress, type FetchAllResult, fetchAll } from '../../src/fetch/fetch-all.ts'
import { gate } from '../../src/testing/index.ts'

const unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)

beforeAll(() => {
  process.on('unhandledRejection', note)
})

afterAll(() => {
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

/** A fetch whose every call waits for the test, and heeds its signal. */
class Calls {
  readonly urls: string[] = []
  readonly signals: AbortSignal[] = []
  readonly #settle: { resolve: (response: Response) => void; reject: (error: unknown) => void }[] = []
  active = 0
  most = 0

  readonly fetch = ((input: unknown, init: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      this.urls.push(String(input))
      this.signals.push(init.signal as AbortSignal)
      this.#settle.push({ resolve, reject })
      this.most = Math.max(this.most, ++this.active)
      init.signal?.addEventListener('abort', () => {
        this.active--
        reject(init.signal?.reason)
      })
    })) as typeof globalThis.fetch

  answer(index: number, response = new Response(String(index))): void {
    this.active--
    this.#settle[index]?.resolve(response)
  }

  fail(index: number, error: unknown): void {
    this.active--
    this.#settle[index]?.reject(error)
  }
}

/** Lets everything run that is ready to. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

async function collect<Result>(results: AsyncIterable<Result>): Promise<Result[]> {
  const all: Result[] = []
  for await (const result of results) all.push(result)
  return all
}

function summary(result: FetchAllResult): unknown[] {
  return [result.index, result.status]
}

describe('fetchAll', () => {
  it('yields results as they come, whatever their order', async () => {
    const calls = new Calls()
    const results = fetchAll(['a', 'b', 'c'], { fetch: calls.fetch })
    const first = results.next()
    await turn()
    calls.answer(2)
    expect((await first).value).toMatchObject({ index: 2, input: 'c', status: 'fulfilled' })
    const failure = new Error('refused')
    calls.fail(0, failure)
    expect((await results.next()).value).toEqual({ index: 0, input: 'a', status: 'rejected', error: failure })
    calls.answer(1)
    expect((await results.next()).value).toMatchObject({ index: 1 })
    expect(await results.next()).toEqual({ done: true, value: undefined })
  })

  it('starts nothing before it is asked', async () => {
    const calls = new Calls()
    fetchAll(['a'], { fetch: calls.fetch })
    await turn()
    expect(calls.urls).toEqual([])
  })

  it('starts 8 at once by default', async () => {
    const calls = new Calls()
    const results = fetchAll(Array(20).fill('a'), { fetch: calls.fetch })
    const first = results.next()
    await turn()
    expect(calls.active).toBe(8)
    calls.answer(0)
    await first
    await results.return()
  })

  it('reads an endless source no further than it starts calls, also for a slow loop', async () => {
    const calls = new Calls()
    let read = 0
    let closed = false
    function* endless() {
      try {
        for (;;) yield `u${read++}`
      } finally {
        closed = true
      }
    }
    const results = fetchAll(endless(), { fetch: calls.fetch, concurrency: 3 })
    const first = results.next()
    await turn()
    expect([read, calls.urls.length]).toEqual([3, 3])
    for (const index of [0, 1, 2]) calls.answer(index)
    await first
    await turn()
    // The loop has taken one; the two that it has not taken hold their places.
    expect([read, calls.urls.length]).toEqual([4, 4])
    await results.next()
    await turn()
    expect([read, calls.urls.length]).toEqual([5, 5])
    expect(closed).toBe(false)
    await results.return()
    expect(closed).toBe(true)
    expect(calls.most).toBe(3)
  })

  it('hands out results while an asynchronous source makes it wait', async () => {
    const calls = new Calls()
    const more = gate()
    async function* slow() {
      yield 'a'
      await more.promise
      yield 'b'
    }
    const results = fetchAll(slow(), { fetch: calls.fetch })
    const first = results.next()
    await turn()
    calls.answer(0)
    expect((await first).value).toMatchObject({ index: 0 })
    const second = results.next()
    more.open()
    await turn()
    calls.answer(1)
    expect((await second).value).toMatchObject({ index: 1 })
    expect((await results.next()).done).toBe(true)
  })

  it('ends with the error of its source, after the results of what was started', async () => {
    const calls = new Calls()
    const failure = new Error('source broke')
    function* broken() {
      yield 'a'
      throw failure
    }
    const results = fetchAll(broken(), { fetch: calls.fetch })
    const first = results.next()
    await turn()
    calls.answer(0)
    expect((await first).value).toMatchObject({ index: 0, status: 'fulfilled' })
    await expect(results.next()).rejects.toBe(failure)
  })

  it('does not wait for a source that never gives when the loop is left or the signal fires', async () => {
    for (const leave of ['break', 'signal']) {
      const calls = new Calls()
      let returned = 0
      let give: (next: IteratorResult<string>) => void = () => undefined
      const stuck: AsyncIterable<string> = {
        [Symbol.asyncIterator]: () => {
          let given = 0
          return {
            next: () =>
              new Promise((resolve) => {
                if (given++ === 0) resolve({ done: false, value: 'a' })
                else give = resolve
              }),
            return: () => {
              returned++
              return new Promise(() => undefined)
            },
          }
        },
      }
      const controller = new AbortController()
      const results = fetchAll(stuck, { fetch: calls.fetch, signal: controller.signal })
      const first = results.next()
      await turn()
      calls.answer(0)
      await first
      const next = leave === 'break' ? results.return() : results.next()
      controller.abort()
      expect(await next).toEqual({ done: true, value: undefined })
      expect(returned).toBe(1)
      give({ done: false, value: 'late' })
      await turn()
      expect(calls.urls).toEqual(['a'])
    }
  })

  it('starts nothing more once its signal fires, and tells those under way as rejected', async () => {
    const calls = new Calls()
    const controller = new AbortController()
    const all = collect(fetchAll(Array(9).fill('a'), { fetch: calls.fetch, concurrency: 2, signal: controller.signal }))
    await turn()
    const reason = new Error('enough')
    controller.abort(reason)
    const results = await all
    expect(results.map(summary)).toEqual([
      [0, 'rejected'],
      [1, 'rejected'],
    ])
    expect(results.map((result) => result.status === 'rejected' && result.error)).toEqual([reason, reason])
    expect(calls.urls).toHaveLength(2)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  it('takes no offence at a source that fails because the signal fired', async () => {
    const calls = new Calls()
    const controller = new AbortController()
    const { signal } = controller
    async function* source() {
      yield 'a'
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    }
    const all = collect(fetchAll(source(), { fetch: calls.fetch, signal }))
    await turn()
    controller.abort()
    expect((await all).map(summary)).toEqual([[0, 'rejected']])
  })

  it('yields nothing where its signal has fired before', async () => {
    const calls = new Calls()
    expect(await collect(fetchAll(['a'], { fetch: calls.fetch, signal: AbortSignal.abort() }))).toEqual([])
    expect(calls.urls).toEqual([])
  })

  it.each([
    ['an init', (signal: AbortSignal) => ['http://a.test', { signal }] as const],
    ['a Request', (signal: AbortSignal) => new Request('http://a.test', { signal })],
    [
      'a Request with an init',
      (signal: AbortSignal) => [new Request('http://a.test', { signal }), { method: 'PUT' }] as const,
    ],
  ])('heeds the signal of %s for that call only', async (_name, input) => {
    const calls = new Calls()
    const own = new AbortController()
    const results = fetchAll([input(own.signal), 'http://b.test'], { fetch: calls.fetch })
    const first = results.next()
    await turn()
    const reason = new Error('this one')
    own.abort(reason)
    expect((await first).value).toMatchObject({ index: 0, status: 'rejected', error: reason })
    expect(calls.signals[1]?.aborted).toBe(false)
    await results.return()
    expect(calls.signals[1]?.aborted).toBe(true)
  })

  it('aborts results that nobody took', async () => {
    const calls = new Calls()
    const results = fetchAll(['a', 'b', 'c'], { fetch: calls.fetch })
    const first = results.next()
    await turn()
    calls.answer(0)
    calls.answer(1)
    await first
    await results.return()
    expect(calls.signals.map(({ aborted }) => aborted)).toEqual([false, true, true])
    expect(calls.signals[1]?.reason).toMatchObject({ name: 'AbortError' })
  })

  it('ends at once where there are no inputs', async () => {
    const told: FetchAllProgress[] = []
    const options = { fetch: new Calls().fetch, onProgress: (progress: FetchAllProgress) => told.push(progress) }
    expect(await collect(fetchAll([], options))).toEqual([])
    expect(told).toEqual([])
  })

  it('takes a fetch that throws for a call that failed', async () => {
    const failure = new Error('no')
    const fetch = (() => {
      throw failure
    }) as typeof globalThis.fetch
    expect(await collect(fetchAll(['a'], { fetch }))).toEqual([
      { index: 0, input: 'a', status: 'rejected', error: failure },
    ])
  })

  it('takes global fetch as it is when called', async () => {
    const calls = new Calls()
    const before = globalThis.fetch
    globalThis.fetch = calls.fetch
    try {
      const results = fetchAll(['a'])
      globalThis.fetch = before
      const first = results.next()
      await turn()
      calls.answer(0)
      expect((await first).value).toMatchObject({ status: 'fulfilled' })
    } finally {
      globalThis.fetch = before
    }
  })

  describe('onProgress', () => {
    it.each([
      ['an array', ['a', 'b'], 2],
      ['a set', new Set(['a', 'b']), 2],
      ['an iterator', ['a', 'b'].values(), undefined],
    ])('tells every start and end, for %s', async (_name, inputs, total) => {
      const calls = new Calls()
      const told: number[][] = []
      const onProgress = (progress: FetchAllProgress) => {
        told.push([progress.started, progress.done, progress.failed])
        expect(progress.total).toBe(total)
      }
      const all = collect(fetchAll(inputs, { fetch: calls.fetch, concurrency: 1, onProgress }))
      await turn()
      calls.answer(0)
      await turn()
      calls.fail(1, new Error('refused'))
      await all
      expect(told).toEqual([
        [1, 0, 0],
        [1, 1, 0],
        [2, 1, 0],
        [2, 2, 1],
      ])
    })

    it('ends the loop with its error, after the results of what was started', async () => {
      const calls = new Calls()
      const failure = new Error('table broke')
      const onProgress = ({ started }: FetchAllProgress) => {
        if (started === 2) throw failure
      }
      const results = fetchAll(['a', 'b', 'c'], { fetch: calls.fetch, onProgress })
      const first = results.next()
      await turn()
      expect(calls.urls).toEqual(['a', 'b'])
      calls.answer(0)
      calls.answer(1)
      await first
      await results.next()
      await expect(results.next()).rejects.toBe(failure)
    })

    it('is told nothing after the loop was left', async () => {
      const calls = new Calls()
      let told = 0
      const results = fetchAll(['a', 'b'], { fetch: calls.fetch, onProgress: () => told++ })
      const first = results.next()
      await turn()
      calls.answer(0)
      await first
      const before = told
      await results.return()
      await turn()
      expect(told).toBe(before)
    })
  })

  it.each([
    [{ concurrency: 0 }, RangeError, 'fetchAll: concurrency must be a whole number of at least 1, got 0'],
    [{ concurrency: 1.5 }, RangeError, 'got 1.5'],
    [{ concurrency: '8' }, TypeError, 'got "8"'],
    [{ fetch: 'fetch' }, TypeError, 'fetchAll: fetch must be a function, got "fetch"'],
    [{ onProgress: 1 }, TypeError, 'fetchAll: onProgress must be a function, got 1'],
    [{ signal: {} }, TypeError, 'fetchAll: signal must be an AbortSignal, got object'],
    [{ parallel: 3 }, TypeError, 'fetchAll: unknown option "parallel"'],
  ])('refuses the options %j at once', (options, kind, message) => {
    const make = () => fetchAll(['a'], options as never)
    expect(make).toThrow(kind)
    expect(make).toThrow(message)
  })

  it.each(['https://a.test', 5, null, undefined, {}])('refuses %s for inputs at once', (inputs) => {
    expect(() => fetchAll(inputs as never)).toThrow('fetchAll: inputs must be an iterable of URLs or Requests')
  })
})
