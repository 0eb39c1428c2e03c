import * as undici from 'undici'
import { describe, expect, it } from 'vitest'
import { installFetch } from '../../src/fetch/install-fetch.ts'
import { protocolOf } from '../../src/fetch/protocol.ts'
import { gate } from '../../src/testing/index.ts'
import { ask, type Descriptors, descriptors, keepsGlobals, named, names, restore } from './globals.ts'
import { protocols, serve } from './servers.ts'

let original: Descriptors

keepsGlobals((saved) => {
  original = saved
})

describe.each(protocols)('installFetch over $protocol', ({ protocol, version }) => {
  it('37: leads global fetch through the dispatcher, with its classes', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const uninstall = installFetch(agent)
    try {
      const form = new FormData()
      form.append('a', 'b')
      const request = new Request(server.url('/r'), {
        method: 'PUT',
        body: form,
        headers: new Headers({ 'x-own': 'yes' }),
      })
      const response = await fetch(request)
      expect(response).toBeInstanceOf(Response)
      expect(response.headers).toBeInstanceOf(Headers)
      expect(request).toBeInstanceOf(Request)
      expect(protocolOf(response)).toBe(version)
      const echo = (await response.json()) as { body: string }
      expect(echo).toMatchObject({ method: 'PUT', path: '/r', protocol: version, headers: { 'x-own': 'yes' } })
      expect(echo.body).toContain('name="a"\r\n\r\nb')
      expect(await new Response(form).formData()).toBeInstanceOf(FormData)
    } finally {
      uninstall()
    }
  })

  it('lets calls under way finish after the undo, over their redirects, and leaves the given dispatcher open', async () => {
    const first = gate()
    const body = gate()
    const respond = {
      '/': { status: 302, headers: { location: '/new' }, hold: first.promise },
      '*': { body: ['head', body.promise, ' and tail'] },
    } as const
    const { server, agent } = await serve({ protocol, respond })
    const uninstall = installFetch(agent)
    const arrived = server.nextRequest()
    const call = fetch(server.url())
    await arrived
    uninstall()
    first.open()
    const response = await call
    body.open()
    expect(await response.text()).toBe('head and tail')
    expect(agent.closed).toBe(false)
  })
})

describe('installFetch', () => {
  it('puts back exactly what was there, and does nothing the second time', () => {
    const uninstall = installFetch(named('a'))
    for (const [at, name] of names.entries()) {
      const now = Object.getOwnPropertyDescriptor(globalThis, name)
      expect(now?.value).not.toBe(original[at]?.value)
      expect(now).toMatchObject({ writable: true, configurable: true, enumerable: original[at]?.enumerable })
    }
    expect(fetch.name).toBe('fetch')
    expect(fetch).toHaveLength(1)
    uninstall()
    expect(descriptors()).toEqual(original)

    const again = installFetch(named('b'))
    uninstall()
    expect(globalThis.Request).toBe(undici.Request)
    again()
  })

  it('stacks, and comes undone in order', async () => {
    const undoFirst = installFetch(named('first'))
    const undoSecond = installFetch(named('second'))
    expect(await ask()).toBe('second')
    undoSecond()
    expect(await ask()).toBe('first')
    expect(globalThis.Request).toBe(undici.Request)
    undoFirst()
    expect(descriptors()).toEqual(original)
  })

  it('comes undone out of order: the newest stays until its own undo, and the original is back after both', async () => {
    const undoFirst = installFetch(named('first'))
    const undoSecond = installFetch(named('second'))
    const undoThird = installFetch(named('third'))
    undoSecond()
    expect(await ask()).toBe('third')
    undoFirst()
    expect(await ask()).toBe('third')
    expect(globalThis.Request).toBe(undici.Request)
    undoThird()
    expect(descriptors()).toEqual(original)
  })

  it('leaves alone what another library has put over it, which then reaches what was there before', async () => {
    globalThis.fetch = async () => new Response('before')
    const before = descriptors()
    const uninstall = installFetch(named('ours'))
    const inner = globalThis.fetch
    const patched: typeof fetch = async (input, init) =>
      new Response(`patched ${await (await inner(input, init)).text()}`)
    globalThis.fetch = patched
    expect(await ask()).toBe('patched ours')

    uninstall()
    expect(globalThis.fetch).toBe(patched)
    expect(descriptors().slice(1)).toEqual(before.slice(1))
    expect(await ask()).toBe('patched before')
    restore(original)
  })

  it('keeps a patch between two installs through undos in any order', async () => {
    globalThis.fetch = async () => new Response('before')
    const undoFirst = installFetch(named('first'))
    const inner = globalThis.fetch
    const patched: typeof fetch = async (input, init) =>
      new Response(`patched ${await (await inner(input, init)).text()}`)
    globalThis.fetch = patched
    const undoSecond = installFetch(named('second'))

    undoFirst()
    expect(await ask()).toBe('second')
    undoSecond()
    expect(globalThis.fetch).toBe(patched)
    expect(await ask()).toBe('patched before')
    expect(globalThis.Request).toBe(original[1]?.value)
    restore(original)
  })

  it('puts accessors back as accessors', () => {
    const get = () => undici.Headers
    Object.defineProperty(globalThis, 'Headers', { get, set: () => undefined, configurable: true, enumerable: false })
    const uninstall = installFetch(named('a'))
    expect(Object.getOwnPropertyDescriptor(globalThis, 'Headers')).toMatchObject({
      value: undici.Headers,
      writable: true,
    })
    uninstall()
    expect(Object.getOwnPropertyDescriptor(globalThis, 'Headers')?.get).toBe(get)
    restore(original)
  })

  it('works where there was no fetch, and takes it away again', async () => {
    for (const name of names) Reflect.deleteProperty(globalThis, name)
    const uninstall = installFetch(named('ours'))
    const kept = globalThis.fetch
    expect(await ask()).toBe('ours')
    uninstall()
    expect(descriptors()).toEqual(names.map(() => undefined))
    await expect(kept('http://mock.test/')).rejects.toThrow('fetch was uninstalled, and there was none before it')
    restore(original)
  })

  it('says which global is not writable, and changes none', () => {
    Object.defineProperty(globalThis, 'Headers', { value: undici.Headers, writable: false, configurable: true })
    const before = descriptors()
    const message = 'installFetch: globalThis.Headers cannot be replaced: it is not writable'
    expect(() => installFetch(named('a'))).toThrow(new TypeError(message))
    expect(() => installFetch()).toThrow(new TypeError(message))
    expect(descriptors()).toEqual(before)
    restore(original)
  })

  it.each([null, {}, 'https://proxy', 5])('refuses %s for a dispatcher', (dispatcher) => {
    expect(() => installFetch(dispatcher as never)).toThrow('installFetch: dispatcher must be a Dispatcher')
  })

  it("leaves undici's global dispatcher alone", () => {
    const before = undici.getGlobalDispatcher()
    const uninstall = installFetch(named('a'))
    expect(undici.getGlobalDispatcher()).toBe(before)
    uninstall()
  })
})

describe('installFetch without a dispatcher', () => {
  it('speaks through the standard chain, and lets go of its connections after the undo', async () => {
    const { server } = await serve({ protocol: 'h1c', respond: [503, { echo: true }] })
    const uninstall = installFetch()
    const response = await fetch(server.url(), { method: 'PUT', body: 'whole' })
    // Sent again by the standard chain's retry.
    expect(await response.json()).toMatchObject({ method: 'PUT', body: 'whole' })
    expect(server.requests).toHaveLength(2)
    uninstall()
    await server.until(() => server.connections.open === 0)
  })

  it('closes its pool only behind the last redirect', async () => {
    const hold = gate()
    const respond = {
      '/': { status: 302, headers: { location: '/new' }, hold: hold.promise },
      '*': { body: 'there' },
    } as const
    const { server } = await serve({ protocol: 'h1c', respond })
    const uninstall = installFetch()
    const arrived = server.nextRequest()
    const call = fetch(server.url())
    await arrived
    uninstall()
    hold.open()
    expect(await (await call).text()).toBe('there')
    await server.until(() => server.connections.open === 0)
  })
})
