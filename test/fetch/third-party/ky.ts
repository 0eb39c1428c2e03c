import assert from 'node:assert/strict'
import ky, { HTTPError, type KyInstance, TimeoutError } from 'ky'
import { gate } from '../../../src/testing/index.ts'
import { type Case, failure, only, type World } from './world.ts'

function kyOf(world: World): KyInstance {
  return ky.create({ ...world.options, retry: 0 })
}

export const kyCases: readonly Case[] = [
  {
    name: 'ky posts JSON and reads JSON',
    async run(world) {
      const server = await world.serve({ echo: true })
      const echo = await kyOf(world)
        .post(server.url('/users'), { json: { name: 'Ada 🐇' } })
        .json<{ body: string }>()
      const { method, headers, body } = await only(server, world)
      assert.equal(method, 'POST')
      assert.equal(headers['content-type'], 'application/json')
      assert.equal(headers.accept, 'application/json')
      assert.equal(body.toString(), '{"name":"Ada 🐇"}')
      assert.equal(echo.body, '{"name":"Ada 🐇"}')
    },
  },
  {
    name: "ky's hooks replace request and response",
    async run(world) {
      const server = await world.serve({ echo: true })
      const seen: unknown[] = []
      const client = kyOf(world).extend({
        hooks: {
          beforeRequest: [
            ({ request }) => {
              seen.push(request instanceof Request)
              return new Request(request, { headers: { 'x-hook': 'yes' } })
            },
          ],
          afterResponse: [
            async ({ response }) => {
              seen.push(response instanceof Response)
              const text = await response.clone().text()
              return new Response(`${text.length} characters`, { headers: { 'x-status': String(response.status) } })
            },
          ],
        },
      })
      const response = await client.put(server.url(), { body: 'whole' })
      const { headers, body } = await only(server, world)
      assert.equal(headers['x-hook'], 'yes')
      assert.equal(body.toString(), 'whole')
      // The Response of createFetch is undici's, and so is the global one only while installed.
      assert.deepEqual(seen, [true, world.isInstalled])
      assert.equal(response.headers.get('x-status'), '200')
      assert.match(await response.text(), /^\d{3} characters$/)
    },
  },
  {
    name: "ky's retry sends the body whole each time",
    async run(world) {
      const server = await world.serve([503, { reset: 'before-head' }, { echo: true }])
      const retried: number[] = []
      const client = kyOf(world).extend({
        retry: { limit: 3, delay: () => 1 },
        hooks: { beforeRetry: [({ retryCount }) => void retried.push(retryCount)] },
      })
      const echo = await client.put(server.url(), { json: { name: 'Ada' } }).json<{ body: string }>()
      assert.equal(echo.body, '{"name":"Ada"}')
      assert.deepEqual(retried, [1, 2])
      assert.deepEqual(
        server.requests.map(({ method, body, protocol }) => [method, body.toString(), protocol]),
        Array.from({ length: 3 }, () => ['PUT', '{"name":"Ada"}', world.version]),
      )
    },
  },
  {
    name: "ky's timeout gives up the request",
    async run(world) {
      const server = await world.serve({ '/warm': 200, '*': { hang: 'head' } })
      // The timeout is of the answer alone: the connection is there.
      await (await world.fetch(server.url('/warm'))).text()
      const error = await failure(kyOf(world).get(server.url(), { timeout: 40 }).text())
      assert.ok(error instanceof TimeoutError)
      for (const { closed } of server.requests.slice(1)) assert.equal((await closed).how, 'aborted')
    },
  },
  {
    name: 'ky fails with the reason of the signal, and the request is given up',
    async run(world) {
      const server = await world.serve({ hang: 'head' })
      const controller = new AbortController()
      const arrived = server.nextRequest()
      const call = failure(kyOf(world).get(server.url(), { signal: controller.signal }).text())
      const request = await arrived
      const reason = new Error('enough')
      controller.abort(reason)
      assert.equal(await call, reason)
      assert.equal((await request.closed).how, 'aborted')
    },
  },
  {
    name: 'ky throws HTTPError, with what the server sent',
    async run(world) {
      const server = await world.serve({
        status: 404,
        headers: { 'content-type': 'application/json' },
        body: '{"a":1}',
      })
      const error = await failure(kyOf(world).get(server.url()).text())
      assert.ok(error instanceof HTTPError)
      assert.equal(error.response.status, 404)
      assert.deepEqual(error.data, { a: 1 })
      await only(server, world)
    },
  },
  {
    name: 'ky sends a FormData with a file',
    async run(world) {
      const server = await world.serve({ echo: true })
      const body = new FormData()
      body.append('a', 'grüße')
      body.append('file', new File(['content'], 'name.txt', { type: 'text/x' }))
      await kyOf(world).post(server.url(), { body }).text()
      const { headers, body: sent } = await only(server, world)
      const boundary = /^multipart\/form-data; boundary=(.+)$/.exec(headers['content-type']!)?.[1]
      assert.equal(
        sent.toString().trimEnd(),
        [
          `--${boundary}`,
          'Content-Disposition: form-data; name="a"',
          '',
          'grüße',
          `--${boundary}`,
          'Content-Disposition: form-data; name="file"; filename="name.txt"',
          'Content-Type: text/x',
          '',
          'content',
          `--${boundary}--`,
        ].join('\r\n'),
      )
    },
  },
  {
    name: 'ky streams a download, piece by piece, and tells its progress',
    async run(world) {
      const [second, third] = [gate(), gate()]
      const body = ['first ', second.promise, 'second ', third.promise, 'third']
      const server = await world.serve({ headers: { 'content-length': '18' }, body })
      const progress: number[] = []
      const onDownloadProgress = ({ transferredBytes }: { transferredBytes: number }) =>
        void progress.push(transferredBytes)
      const response = await kyOf(world).get(server.url(), { onDownloadProgress })
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      assert.equal((await reader.read()).value, 'first ')
      second.open()
      assert.equal((await reader.read()).value, 'second ')
      third.open()
      assert.equal((await reader.read()).value, 'third')
      assert.equal((await reader.read()).done, true)
      assert.deepEqual([...new Set(progress)], [6, 13, 18])
      await only(server, world)
    },
  },
  {
    name: 'ky streams an upload, and tells its progress',
    async run(world) {
      const server = await world.serve({ echo: true })
      const pieces = ['one ', 'two ', 'three']
      const body = new ReadableStream({
        pull(controller) {
          const piece = pieces.shift()
          if (piece === undefined) controller.close()
          else controller.enqueue(new TextEncoder().encode(piece))
        },
      })
      let last = 0
      const onUploadProgress = ({ transferredBytes }: { transferredBytes: number }) => {
        last = transferredBytes
      }
      await kyOf(world).post(server.url(), { body, onUploadProgress }).text()
      const { headers, body: sent } = await only(server, world)
      assert.equal(sent.toString(), 'one two three')
      assert.equal(headers['content-length'], undefined)
      assert.equal(last, 13)
    },
  },
  {
    name: 'ky takes a Request, with headers of its own beside',
    async run(world) {
      const server = await world.serve({ echo: true })
      const request = new Request(server.url('/x'), { method: 'PATCH', body: 'text', headers: { 'x-own': 'yes' } })
      await kyOf(world)(request, { headers: { 'x-more': 'too' } }).text()
      const { method, path, headers, body } = await only(server, world)
      assert.deepEqual([method, path, body.toString()], ['PATCH', '/x', 'text'])
      assert.deepEqual([headers['x-own'], headers['x-more']], ['yes', 'too'])
    },
  },
  {
    name: 'ky reads a form',
    async run(world) {
      const server = await world.serve({
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'a=1&b=2',
      })
      const form = await kyOf(world).get(server.url()).formData()
      assert.deepEqual(
        [...form.entries()],
        [
          ['a', '1'],
          ['b', '2'],
        ],
      )
      await only(server, world)
    },
  },
]
