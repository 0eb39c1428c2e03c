// What a foreign layer may do and no transport does: give bytes after the end (they were appended to the body), end without
// a head or let a redirect stand (the call waited for ever), give pieces that are no Buffer (text() failed).
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'

type Controller = Dispatcher.DispatchController
type Handler = Required<Dispatcher.DispatchHandler>
type Play = (handler: Handler, path: string) => void

class Foreign extends Dispatcher {
  readonly #play: Play

  constructor(play: Play) {
    super()
    this.#play = play
  }

  override dispatch({ path }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#play(handler as Handler, path)
    return true
  }
}

const deaf = { aborted: false, paused: false, abort() {}, pause() {}, resume() {} } as unknown as Controller
const call = (play: Play) => createFetch(new Foreign(play))('http://localhost/')

it('what comes after the end is no part of the body', async () => {
  const response = await call((handler) => {
    for (const text of ['first', 'second']) {
      handler.onRequestStart(deaf, {})
      handler.onResponseStart(deaf, 200, {})
      handler.onResponseData(deaf, Buffer.from(text))
      handler.onResponseEnd(deaf, {})
    }
    handler.onResponseData(deaf, Buffer.from('third'))
    handler.onResponseError(deaf, new Error('late'))
  })
  expect(await response.text()).toBe('first')
})

it('an end without a head is an error', async () => {
  const calling = call((handler) => {
    handler.onRequestStart(deaf, {})
    handler.onResponseEnd(deaf, {})
  })
  await expect(calling).rejects.toMatchObject({ message: 'fetch failed', cause: { message: /before its head/ } })
})

it.each([
  ['a controller that does nothing', deaf],
  ['no controller', null as unknown as Controller],
])('a redirect whose body stands is followed, with %s', async (_name, controller) => {
  const response = await call((handler, path) => {
    if (path === '/') return handler.onResponseStart(controller, 302, { location: '/there' })
    handler.onResponseStart(controller, 200, {})
    handler.onResponseData(controller, Buffer.from('there'))
    handler.onResponseEnd(controller, {})
  })
  expect(await response.text()).toBe('there')
})

it.each(['text', 'bytes', 'arrayBuffer', 'blob'] as const)(
  'pieces that are no Buffer are read by %s()',
  async (how) => {
    const response = await call((handler) => {
      handler.onResponseStart(deaf, 200, {})
      for (const byte of [104, 105]) handler.onResponseData(deaf, new Uint8Array([byte]) as Buffer)
      handler.onResponseEnd(deaf, {})
    })
    const read = await response[how]()
    expect(await new Response(read as BodyInit).text()).toBe('hi')
  },
)
