// What installFetch leaves as it is, and what a program sees in each state: before, while it is installed, and after.
import { createContext, runInContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import * as undici from 'undici'
import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { installFetch } from '../../src/fetch/install-fetch.ts'
import { gate } from '../../src/testing/index.ts'
import { ask, type Descriptors, descriptors, keepsGlobals, named, restore } from './globals.ts'
import { RecordingDispatcher, serve } from './servers.ts'

let original: Descriptors

keepsGlobals((saved) => {
  original = saved
})

const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const

function patch(name: string): () => void {
  const inner = globalThis.fetch
  globalThis.fetch = async (input, init) => new Response(`${name}(${await (await inner(input, init)).text()})`)
  return () => {
    globalThis.fetch = inner
  }
}

describe('installFetch three times', () => {
  it.each(orders)('comes undone in the order %i %i %i', async (...order) => {
    const undos = ['a', 'b', 'c'].map((name) => installFetch(named(name)))
    const left = ['a', 'b', 'c']
    for (const at of order) {
      undos[at]!()
      left[at] = ''
      // The newest that is left answers, and its classes are there until the last.
      const newest = left.filter(Boolean).at(-1)
      if (newest === undefined) break
      expect(await ask()).toBe(newest)
      expect(globalThis.Request).toBe(undici.Request)
    }
  })

  it.each(orders)('with patches of others in between, comes undone in the order %i %i %i', async (...order) => {
    globalThis.fetch = async () => new Response('base')
    const base = globalThis.fetch
    const undos: (() => void)[] = []
    const takeOffs: (() => void)[] = []
    for (const name of ['a', 'b', 'c']) {
      undos.push(installFetch(named(name)))
      takeOffs.push(patch(`over ${name}`))
    }
    expect(await ask()).toBe('over c(c)')
    for (const at of order) undos[at]!()
    expect(await ask()).toBe('over c(over b(over a(base)))')
    expect(globalThis.Request).toBe(original[1]?.value)

    // The patches go last, and each puts back a fetch of ours that is undone: it leads to what was there before.
    for (const takeOff of takeOffs.reverse()) takeOff()
    expect(await ask()).toBe('base')
    expect(globalThis.fetch).toBe(base)
    restore(original)
  })
})

describe('after the undo', () => {
  it('a body under way goes on, and the pool of its own closes behind it', async () => {
    const rest = gate()
    const { server } = await serve({ protocol: 'h1c', respond: { body: ['first', rest.promise, ' and rest'] } })
    const uninstall = installFetch()
    const response = await fetch(server.url())
    const copy = response.clone()
    uninstall()
    expect(server.connections.open).toBe(1)
    rest.open()
    expect(await response.text()).toBe('first and rest')
    expect(await copy.text()).toBe('first and rest')
    // The class it was made with is no longer global.
    expect(response).toBeInstanceOf(undici.Response)
    expect(response).not.toBeInstanceOf(Response)
    await server.until(() => server.connections.open === 0)
  })
})

describe('in each state', () => {
  const isOf = (response: Response) => ({
    own: response instanceof (original[2]!.value as typeof Response),
    undici: response instanceof undici.Response,
    global: response instanceof Response && response.headers instanceof Headers,
  })

  it('a response is an instance of the global Response, but that of createFetch only while installed', async () => {
    const { server, agent } = await serve({ protocol: 'h1c', respond: { body: 'there' } })
    const created = createFetch(agent)
    const look = async () => {
      const responses = [await fetch(server.url()), await created(server.url())]
      await Promise.all(responses.map((response) => response.text()))
      return responses.map(isOf)
    }
    const apart = [
      { own: true, undici: false, global: true },
      { own: false, undici: true, global: false },
    ]
    expect(await look()).toEqual(apart)
    const uninstall = installFetch(agent)
    const both = { own: false, undici: true, global: true }
    expect(await look()).toEqual([both, both])
    uninstall()
    expect(await look()).toEqual(apart)
  })

  it('fetch has the name, the length and the kind of property of the runtime, and rejects without an argument', async () => {
    const look = async () => {
      const { value, ...kind } = Object.getOwnPropertyDescriptor(globalThis, 'fetch')!
      const error: unknown = await value().catch((reason: unknown) => reason)
      return { name: value.name, length: value.length, kind, isTypeError: error instanceof TypeError }
    }
    const before = await look()
    expect(before).toMatchObject({ name: 'fetch', length: 1, isTypeError: true })
    const uninstall = installFetch(named('ours'))
    expect(await look()).toEqual(before)
    uninstall()
    expect(await look()).toEqual(before)
  })

  it("neither the other globals that undici's install() swaps nor undici's global dispatchers change", () => {
    const others = [
      'WebSocket',
      'CloseEvent',
      'ErrorEvent',
      'MessageEvent',
      'EventSource',
      'Blob',
      'File',
      'AbortSignal',
    ]
    const keys = [...others, ...['1', '2'].map((version) => Symbol.for(`undici.globalDispatcher.${version}`))]
    const look = () => keys.map((key) => Object.getOwnPropertyDescriptor(globalThis, key))
    const before = look()
    expect(before.filter(Boolean).length).toBeGreaterThan(5)
    const all = Reflect.ownKeys(globalThis)
    const uninstall = installFetch()
    expect(look()).toEqual(before)
    expect(Reflect.ownKeys(globalThis)).toEqual(all)
    uninstall()
    expect(look()).toEqual(before)
    expect(Reflect.ownKeys(globalThis)).toEqual(all)
  })
})

describe('other realms and copies', () => {
  it('a worker and a vm context keep what they have', async () => {
    const { server, agent } = await serve({ protocol: 'h1c', respond: { echo: true } })
    const dispatcher = new RecordingDispatcher(agent)
    const context = createContext({})
    const uninstall = installFetch(dispatcher)
    const worker = new Worker(
      `require('node:worker_threads').parentPort.postMessage('loaded')
       fetch('${server.url('/worker')}').then((response) => response.text())`,
      { eval: true },
    )
    await new Promise((resolve) => worker.once('exit', resolve))
    expect(server.count('/worker')).toBe(1)
    expect(dispatcher.seen).toEqual([])
    expect(runInContext('typeof fetch + typeof Request', context)).toBe('undefinedundefined')
    expect(runInContext('typeof fetch + typeof Request', createContext({}))).toBe('undefinedundefined')
    await (await fetch(server.url('/main'))).text()
    expect(dispatcher.seen).toHaveLength(1)
    uninstall()
  })

  it('two copies of the package stand over each other like strangers, undone in either order', async () => {
    const path = '../../src/fetch/install-fetch.ts?copy'
    const copy = (await import(path)) as { installFetch: typeof installFetch }
    expect(copy.installFetch).not.toBe(installFetch)
    for (const order of [
      [0, 1],
      [1, 0],
    ] as const) {
      const undos = [installFetch(named('lower')), copy.installFetch(named('upper'))]
      expect(await ask()).toBe('upper')
      undos[order[0]]!()
      expect(await ask()).toBe(order[0] === 0 ? 'upper' : 'lower')
      undos[order[1]]!()
      installFetch(named('last'))()
      expect(descriptors().slice(1)).toEqual(original.slice(1))
    }
    restore(original)
  })

  it("stands over undici's install() as well, and leaves it as it was", async () => {
    const others = ['WebSocket', 'CloseEvent', 'ErrorEvent', 'MessageEvent', 'EventSource'] as const
    const saved = others.map((name) => Object.getOwnPropertyDescriptor(globalThis, name))
    undici.install()
    try {
      const before = descriptors()
      const uninstall = installFetch(named('ours'))
      expect(await ask()).toBe('ours')
      expect(descriptors().slice(1)).toEqual(before.slice(1))
      uninstall()
      expect(globalThis.fetch).toBe(undici.fetch)
      expect(descriptors()).toEqual(before)
    } finally {
      restore(original)
      for (const [at, name] of others.entries()) {
        if (saved[at]) Object.defineProperty(globalThis, name, saved[at])
        else Reflect.deleteProperty(globalThis, name)
      }
    }
  })
})
