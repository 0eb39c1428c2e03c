// state() put keys on an object by assignment: "__proto__", which a header may say, was not among them. And a key function
// that throws what has no text failed the call.
import { rateLimit } from 'roundtripper'
import { expect, it, vi } from 'vitest'
import { call, chainTo, serve } from '../dispatchers/retry-servers.ts'

it('30: every key is told of', async () => {
  const server = await serve({ protocol: 'h1c' })
  const layer = rateLimit({ limit: 5, key: ({ path }) => path.slice(1) })
  const chain = chainTo(server, layer)
  for (const path of ['/__proto__', '/constructor', '/']) await call(chain, server.url(path))
  const state = layer.state()
  expect(Object.keys(state)).toEqual(['__proto__', 'constructor', ''])
  expect(Object.getPrototypeOf(state)).toBe(Object.prototype)
})

it.each([[Symbol('none')], [Object.create(null)]])(
  '30: a key function that throws %o leaves the call under its origin',
  async (thrown) => {
    const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const server = await serve({ protocol: 'h1c' })
    const layer = rateLimit({
      limit: 5,
      key: () => {
        throw thrown
      },
    })
    expect(await call(chainTo(server, layer), server.url('/'))).toMatchObject({ status: 200 })
    expect(Object.keys(layer.state())).toEqual([server.origin])
    expect(emitted).toHaveBeenCalledOnce()
    emitted.mockRestore()
  },
)

it('30: a key function that is async fails no call, and not the process', async () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const server = await serve({ protocol: 'h1c' })
  const layer = rateLimit({ limit: 5, key: (async () => Promise.reject(new Error('later'))) as never })
  expect(await call(chainTo(server, layer), server.url('/'))).toMatchObject({ status: 200 })
  // A rejection that nobody handles would fail the run.
  await new Promise((resolve) => setImmediate(resolve))
  expect(Object.keys(layer.state())).toEqual([server.origin])
  expect(emitted).toHaveBeenCalledOnce()
  emitted.mockRestore()
})

it('30: an option that is undefined is one that is not given', () => {
  expect(() => rateLimit({ limit: 5, window: undefined as never, queue: undefined as never })).not.toThrow()
})
