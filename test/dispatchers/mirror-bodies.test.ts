// Request bodies of mirrored calls: the original is always sent whole, its copy has the same bytes or is not sent at all.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { hedge, retry } from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { FormData } from 'undici'
import { describe, expect, it } from 'vitest'
import { keepBytes, letBytesGo, recordedBytes, replayDefaults } from '../../src/dispatchers/replay.ts'
import { mirrored } from './mirror-fixtures.ts'
import { call, callByFetch, chainTo, errorOf, eventually, protocols, quick, turns } from './retry-servers.ts'

const methods = { methods: ['POST', 'PUT'] }

function sha(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

async function* pieces(...given: unknown[]): AsyncGenerator<unknown> {
  for (const piece of given) {
    await turns(1)
    yield piece
  }
}

async function shaAt(server: TestServer, at = 0): Promise<string | undefined> {
  await server.requests[at]?.received
  return server.requests[at]?.complete ? server.requests[at]?.bodySha256 : 'incomplete'
}

const bytes = Buffer.from('order '.repeat(1000))

function form(): FormData {
  const made = new FormData()
  made.set('order', '7')
  return made
}

const bodies: readonly (readonly [string, () => unknown])[] = [
  ['a string', () => bytes.toString()],
  ['bytes', () => Buffer.from(bytes)],
  ['an ArrayBuffer', () => new Uint8Array(bytes).buffer],
  ['a Blob', () => new Blob([bytes])],
  ['a function', () => () => bytes.toString()],
  ['a list of bytes', () => [bytes.subarray(0, 100), bytes.subarray(100)]],
  ['a stream of Node', () => Readable.from([bytes.subarray(0, 100), bytes.subarray(100)])],
  ['a web stream', () => new Blob([bytes]).stream()],
  ['a generator', () => pieces(bytes.subarray(0, 100), '', bytes.subarray(100).toString())],
]

describe.each(protocols)('the body of a mirrored call over $version', ({ protocol }) => {
  describe.each([
    ['alone', []],
    ['under a retry', [retry(quick)]],
    ['under a hedge', [hedge({ delay: 60_000, percentile: false })]],
  ] as const)('%s', (_, above) => {
    it.each(bodies)('16: %s goes out twice', async (_name, body) => {
      const { server, shadow, layer, settled } = await mirrored(protocol, methods)
      const chain = chainTo(server, above, layer)
      expect((await call(chain, server.url('/'), { method: 'PUT', body: body() })).status).toBe(200)
      expect(await settled()).toMatchObject({ mirrored: 1, dropped: 0, same: 1 })
      expect([await shaAt(server), await shaAt(shadow)]).toEqual([sha(bytes), sha(bytes)])
      expect(recordedBytes()).toBe(0)
    })
  })

  it('16: with a retry below, both are sent again as they were', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol, methods, [503, { body: 'shadow' }])
    server.script('*', [503, { body: 'hello' }])
    const chain = chainTo(server, layer, retry(quick))
    const body = pieces('one', 'two')
    expect((await call(chain, server.url('/'), { method: 'PUT', body })).text).toBe('hello')
    expect(await settled()).toMatchObject({ mirrored: 1, same: 1 })
    for (const one of [server, shadow]) {
      expect([await shaAt(one, 0), await shaAt(one, 1)]).toEqual([sha('onetwo'), sha('onetwo')])
    }
    expect(recordedBytes()).toBe(0)
  })

  it('a form goes out twice, and by the fetch of the kit too', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol, methods)
    const chain = chainTo(server, layer)
    await callByFetch(chain, server.url('/'), { method: 'POST', body: form() })
    await callByFetch(chain, server.url('/'), { method: 'POST', body: new Blob(['a', 'b']).stream() })
    expect(await settled()).toMatchObject({ mirrored: 2, same: 2 })
    for (const one of [server, shadow]) {
      expect(await one.requests[0]?.text()).toContain('name="order"\r\n\r\n7')
      expect(await one.requests[1]?.text()).toBe('ab')
    }
  })

  it('16: longer than bodyLimit there is no copy, and the original goes out whole', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol, { ...methods, bodyLimit: 5999 })
    const chain = chainTo(server, layer)
    for (const [, body] of bodies.filter(([name]) => /stream|generator|bytes$|Buffer/.test(name))) {
      server.clear()
      expect((await call(chain, server.url('/'), { method: 'PUT', body: body() })).status).toBe(200)
      expect(await shaAt(server)).toBe(sha(bytes))
    }
    expect(await settled()).toMatchObject({ mirrored: 1, dropped: 5 })
    layer.update({ bodyLimit: 6000 })
    await call(chain, server.url('/'), { method: 'PUT', body: pieces(bytes) })
    expect(await settled()).toMatchObject({ mirrored: 2, dropped: 5 })
    expect(await shaAt(shadow, 1)).toBe(sha(bytes))
    expect(recordedBytes()).toBe(0)
  })

  it('the caller may use its bytes and headers again while the copy waits', async () => {
    const slow = gate()
    const { server, shadow, layer, settled } = await mirrored(
      protocol,
      { ...methods, concurrency: 1 },
      { hold: slow.promise },
    )
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'), { method: 'POST', body: 'first' })
    const body = Buffer.from('second')
    const headers: Record<string, string> = { 'x-order': '2' }
    await call(chain, server.url('/'), { method: 'POST', body, headers })
    body.fill('x')
    headers['x-order'] = '3'
    slow.open()
    expect(await settled()).toMatchObject({ mirrored: 2 })
    expect(await shadow.requests[1]?.text()).toBe('second')
    expect(shadow.requests[1]?.headers['x-order']).toBe('2')
  })

  it("16: a body that fails is the caller's fault as without a mirror, and there is no copy", async () => {
    const { server, shadow, layer, results, settled } = await mirrored(protocol, methods)
    async function* failing() {
      yield 'one'
      throw new Error('the file is gone')
    }
    for (const chain of [chainTo(server, layer), chainTo(server, retry(quick), layer)]) {
      const error = (await errorOf(call(chain, server.url('/'), { method: 'PUT', body: failing() }))) as Error
      expect(error.message).toBe('the file is gone')
    }
    expect(await settled()).toMatchObject({ mirrored: 0, dropped: 2 })
    expect([shadow.count(), results.length, recordedBytes()]).toEqual([0, 0, 0])
  })

  it('16: a source that is slow, or given up, holds nothing back: the copy is sent when the original has been', async () => {
    const more = gate()
    const { server, shadow, layer, settled } = await mirrored(protocol, methods)
    const chain = chainTo(server, layer)
    async function* slow() {
      yield 'one'
      await more.promise
      yield 'two'
    }
    const answer = call(chain, server.url('/'), { method: 'PUT', body: slow() })
    await server.until(() => server.count() === 1)
    await eventually(() => server.requests[0]?.bodyLength === 3)
    expect(shadow.count()).toBe(0)
    more.open()
    expect((await answer).status).toBe(200)
    expect(await settled()).toMatchObject({ mirrored: 1 })
    expect(await shaAt(shadow)).toBe(sha('onetwo'))

    let closed = false
    async function* endless() {
      try {
        for (;;) {
          await turns(1)
          yield 'more'
        }
      } finally {
        closed = true
      }
    }
    const abort = new AbortController()
    const failing = errorOf(call(chain, server.url('/'), { method: 'PUT', body: endless(), signal: abort.signal }))
    await server.until(() => server.count() === 2)
    abort.abort()
    await failing
    await eventually(() => closed)
    expect(await settled()).toMatchObject({ mirrored: 1, dropped: 1 })
    expect(recordedBytes()).toBe(0)
  })

  it('16: a stream that is answered before it was read has no copy', async () => {
    const { server, layer, settled } = await mirrored(protocol, methods)
    server.script('*', { status: 413, waitForBody: false })
    const chain = chainTo(server, layer)
    const more = gate()
    async function* held() {
      yield 'one'
      await more.promise
    }
    await call(chain, server.url('/'), { method: 'PUT', body: held() }).catch(() => undefined)
    expect(await settled()).toMatchObject({ mirrored: 0, dropped: 1 })
    more.open()
    await turns()
    expect(recordedBytes()).toBe(0)
  })

  it('no more is kept than the process may keep', async () => {
    const { server, layer, settled } = await mirrored(protocol, methods)
    const chain = chainTo(server, layer)
    const others = replayDefaults.perProcess - 4
    expect(keepBytes(others)).toBe(true)
    for (const body of [pieces('one', 'two'), Buffer.from('three')]) {
      expect((await call(chain, server.url('/'), { method: 'PUT', body })).status).toBe(200)
    }
    expect(await settled()).toMatchObject({ mirrored: 0, dropped: 2 })
    await call(chain, server.url('/'), { method: 'PUT', body: pieces('four') })
    expect(await settled()).toMatchObject({ mirrored: 1, dropped: 2 })
    letBytesGo(others)
    expect([await shaAt(server, 0), await shaAt(server, 1)]).toEqual([sha('onetwo'), sha('three')])
    expect(recordedBytes()).toBe(0)
  })
})

it('a function of trailers is not asked for a copy', async () => {
  const { server, shadow, layer, settled } = await mirrored('h2', methods)
  let asked = 0
  const trailers = () => {
    asked++
    return { 'x-sum': '1' }
  }
  await call(chainTo(server, layer), server.url('/'), { method: 'PUT', body: pieces('one'), trailers } as object)
  await settled()
  expect(asked).toBe(1)
  expect(server.requests[0]?.trailers).toMatchObject({ 'x-sum': '1' })
  expect(shadow.requests[0]?.trailers).not.toHaveProperty('x-sum')
})
