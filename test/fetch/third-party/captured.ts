// Libraries that took the runtime's own classes as they were loaded, before anybody installed a fetch.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { gate } from '../../../src/testing/index.ts'
import { type Case, failure, only } from './world.ts'

const own = { fetch, Request, Response, Headers, FormData, Blob, File, AbortController, AbortSignal, ReadableStream }

export const capturedCases: readonly Case[] = [
  {
    name: "the runtime's own Request is taken with all it says, and its body whole",
    delegated: () => 1,
    async run(world) {
      const server = await world.serve({ echo: true })
      const body = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, at) => at % 251))
      const headers = new own.Headers([
        ['x-own', 'yes'],
        ['x-own', 'again'],
      ])
      const request = new own.Request(server.url('/r?q=1'), { method: 'PATCH', headers, body })
      const response = await world.fetch(request)
      const sent = await only(server, world)
      assert.deepEqual([sent.method, sent.path, sent.headers['x-own']], ['PATCH', '/r?q=1', 'yes, again'])
      assert.deepEqual(sent.body, body)
      assert.equal(request.bodyUsed, true)
      assert.deepEqual([response.url, response.type], [server.url('/r?q=1'), 'basic'])
      await response.body?.cancel()
      // A Request that is used up is refused (by undici's fetch) before anything is sent.
      assert.ok((await failure(world.fetch(request))) instanceof TypeError)
      assert.equal(server.requests.length, 1)
    },
  },
  {
    name: "the runtime's own Request says how redirects go, and can be aborted",
    async run(world) {
      const server = await world.serve({
        '/moved': { status: 302, headers: { location: '/there' } },
        '/hang': { hang: 'head' },
        '*': { body: 'there' },
      })
      const manual = await world.fetch(new own.Request(server.url('/moved'), { redirect: 'manual' }))
      assert.deepEqual([manual.status, manual.headers.get('location')], [302, '/there'])
      await manual.text()
      const error = await failure(world.fetch(new own.Request(server.url('/moved'), { redirect: 'error' })))
      assert.equal(error.message, 'fetch failed')
      const followed = await world.fetch(new own.Request(server.url('/moved')))
      assert.deepEqual([followed.redirected, await followed.text()], [true, 'there'])
      const controller = new own.AbortController()
      const arrived = server.nextRequest('/hang')
      const call = failure(world.fetch(new own.Request(server.url('/hang'), { signal: controller.signal })))
      const { closed } = await arrived
      const reason = new Error('enough')
      controller.abort(reason)
      assert.equal(await call, reason)
      assert.equal((await closed).how, 'aborted')
    },
  },
  {
    name: "the runtime's own FormData, File and Blob arrive as a form",
    async run(world) {
      const server = await world.serve({ echo: true })
      const body = new own.FormData()
      body.append('a', 'grüße')
      body.append('blob', new own.Blob(['of a blob'], { type: 'text/b' }))
      body.append('file', new own.File(['of a file'], 'näme".txt', { type: 'text/x' }))
      await (await world.fetch(server.url(), { method: 'POST', body })).text()
      const { headers, body: sent } = await only(server, world)
      const form = await new own.Response(new Uint8Array(sent), {
        headers: { 'content-type': headers['content-type']! },
      }).formData()
      assert.equal(headers['content-length'], String(sent.length))
      assert.equal(form.get('a'), 'grüße')
      const parts = await Promise.all(
        [form.get('blob'), form.get('file')].map(async (part) => {
          const { name, type } = part as File
          return [name, type, await (part as File).text()]
        }),
      )
      assert.deepEqual(parts, [
        ['blob', 'text/b', 'of a blob'],
        ['näme".txt', 'text/x', 'of a file'],
      ])
    },
  },
  {
    name: "the body of the runtime's own Response is sent on as it comes",
    async run(world) {
      const server = await world.serve({ '/source': { body: ['one ', 'two ', 'three'] }, '*': { echo: true } })
      const source = await world.fetch(server.url('/source'))
      const bodies = [
        source.body!,
        new own.Response('of a response').body!,
        new own.Response(new own.Blob(['b'])).body!,
      ]
      const sent: string[] = []
      for (const body of bodies) {
        const init = { method: 'PUT', body, duplex: 'half' } as RequestInit
        sent.push(((await (await world.fetch(server.url('/to'), init)).json()) as { body: string }).body)
      }
      assert.deepEqual(sent, ['one two three', 'of a response', 'b'])
    },
  },
  {
    name: "the runtime's own Response takes the body and the headers of ours",
    async run(world) {
      const server = await world.serve({ headers: { 'x-own': 'yes', 'content-type': 'text/x' }, body: ['one ', 'two'] })
      const ours = await world.fetch(server.url())
      const copy = new own.Response(ours.body, { status: ours.status, headers: ours.headers })
      assert.deepEqual([copy.headers.get('x-own'), await copy.text()], ['yes', 'one two'])
      assert.deepEqual(
        [...new own.Headers(ours.headers)].filter(([name]) => name === 'x-own'),
        [['x-own', 'yes']],
      )
      assert.equal(ours.bodyUsed, true)
      await only(server, world)
    },
  },
  {
    name: 'wrappers make a response anew, read a copy beside it, and pipe it',
    async run(world) {
      const gates = [gate(), gate()] as const
      const server = await world.serve({
        '/slow': {
          status: 203,
          headers: { 'x-own': 'yes' },
          body: ['one ', gates[0].promise, 'two ', gates[1].promise, 'three'],
        },
        '*': { status: 203, headers: { 'x-own': 'yes', 'set-cookie': ['a=1', 'b=2'] }, body: 'whole' },
      })
      for (const Class of [own.Response, Response]) {
        const ours = await world.fetch(server.url())
        const anew = new Class(ours.body, ours)
        assert.deepEqual([anew.status, anew.headers.get('x-own'), await anew.text()], [203, 'yes', 'whole'])
        assert.deepEqual(anew.headers.getSetCookie(), ['a=1', 'b=2'])
      }
      const slow = await world.fetch(server.url('/slow'))
      const copy = slow.clone().text()
      const pieces: string[] = []
      const sink = new WritableStream<Uint8Array>({
        write(piece) {
          pieces.push(Buffer.from(piece).toString())
          gates[pieces.length - 1]?.open()
        },
      })
      await slow.body!.pipeTo(sink)
      assert.deepEqual([pieces, await copy], [['one ', 'two ', 'three'], 'one two three'])
      const streamed = await world.fetch(server.url())
      assert.deepEqual(await Readable.fromWeb(streamed.body as never).toArray(), [Buffer.from('whole')])
      const iterated = await world.fetch(server.url())
      for await (const piece of iterated.body as unknown as AsyncIterable<Uint8Array>) {
        assert.equal(Buffer.from(piece).toString(), 'whole')
      }
    },
  },
  {
    name: "the runtime's own fetch goes on beside ours",
    async run(world) {
      const server = await world.serve({ echo: true })
      const { origin } = server
      // It trusts no such server, and may not speak its protocol: our agent does both, and was not asked.
      const error = await failure(own.fetch(`${origin}/own`))
      assert.match((error.cause as { code: string }).code, /CERT|SSL/)
      const ours = await world.fetch(`${origin}/ours`, { signal: own.AbortSignal.timeout(10_000) })
      assert.equal(((await ours.json()) as { path: string }).path, '/ours')
      assert.equal((await only(server, world)).path, '/ours')
    },
  },
  {
    name: "a stream of the runtime's own is uploaded as it comes",
    async run(world) {
      const server = await world.serve({ echo: true })
      const pieces = ['one ', 'two ', 'three']
      const body = new own.ReadableStream({
        pull(controller) {
          const piece = pieces.shift()
          if (piece === undefined) controller.close()
          else controller.enqueue(new TextEncoder().encode(piece))
        },
      })
      await (await world.fetch(server.url(), { method: 'POST', body, duplex: 'half' } as RequestInit)).text()
      assert.equal((await only(server, world)).body.toString(), 'one two three')
    },
  },
]
