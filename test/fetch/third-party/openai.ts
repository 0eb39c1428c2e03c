import assert from 'node:assert/strict'
import OpenAI, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIUserAbortError,
  BadRequestError,
  type ClientOptions,
  toFile,
} from 'openai'
import { gate, type TestServer } from '../../../src/testing/index.ts'
import { type Case, failure, only, type World } from './world.ts'

function openaiOf(world: World, server: TestServer, options: ClientOptions = {}): OpenAI {
  return new OpenAI({ apiKey: 'key', baseURL: server.url('/v1'), maxRetries: 0, ...world.options, ...options })
}

// Before an upload the SDK asks the class of a response whether it knows the global FormData. Of createFetch's it asks
// fetch.Response; for that of any other fetch it fetches an empty `data:` URL.
const asked = ({ isInstalled }: World) => (isInstalled ? 1 : 0)

const json = { 'content-type': 'application/json' }
const message = { model: 'gpt', messages: [{ role: 'user' as const, content: 'grüße' }] }
const completion = { id: '1', choices: [{ index: 0, message: { role: 'assistant', content: 'hello 🐇' } }] }
const answer = { headers: json, body: JSON.stringify(completion) }

function chunk(content: string): string {
  return `data: ${JSON.stringify({ id: '1', choices: [{ index: 0, delta: { content } }] })}\n\n`
}

export const openaiCases: readonly Case[] = [
  {
    name: 'openai posts JSON and reads JSON',
    async run(world) {
      const server = await world.serve(answer)
      const { choices } = await openaiOf(world, server).chat.completions.create(message)
      assert.equal(choices[0]?.message.content, 'hello 🐇')
      const { method, path, headers, body } = await only(server, world)
      assert.deepEqual([method, path, headers.authorization], ['POST', '/v1/chat/completions', 'Bearer key'])
      assert.equal(headers['content-type'], 'application/json')
      assert.equal(headers['content-length'], String(body.length))
      assert.deepEqual(JSON.parse(body.toString()), message)
    },
  },
  {
    name: 'openai gives the raw response beside the data',
    async run(world) {
      const server = await world.serve({ ...answer, headers: { ...json, 'x-request-id': 'req-7' } })
      const { data, response, request_id } = await openaiOf(world, server)
        .chat.completions.create(message)
        .withResponse()
      assert.equal(data.choices[0]?.message.content, 'hello 🐇')
      assert.deepEqual([request_id, response.url], ['req-7', server.url('/v1/chat/completions')])
      assert.equal(response instanceof Response, world.isInstalled)
    },
  },
  {
    name: 'openai streams events as they come, also where a piece ends inside a character',
    async run(world) {
      const gates = [gate(), gate(), gate()] as const
      const rabbit = Buffer.from(chunk('🐇'))
      const middle = rabbit.indexOf('🐇') + 2
      const body = [
        chunk('one'),
        gates[0].promise,
        rabbit.subarray(0, middle),
        gates[1].promise,
        rabbit.subarray(middle),
        gates[2].promise,
        'data: [DONE]\n\n',
      ]
      const server = await world.serve({ headers: { 'content-type': 'text/event-stream' }, body })
      const stream = await openaiOf(world, server).chat.completions.create({ ...message, stream: true })
      const events = stream[Symbol.asyncIterator]()
      const next = async () => (await events.next()).value?.choices[0]?.delta.content
      assert.equal(await next(), 'one')
      const second = next()
      gates[0].open()
      gates[1].open()
      assert.equal(await second, '🐇')
      gates[2].open()
      assert.equal((await events.next()).done, true)
      const { body: sent } = await only(server, world)
      assert.equal(JSON.parse(sent.toString()).stream, true)
      assert.equal((await server.requests[0]!.closed).how, 'answered')
    },
  },
  {
    name: 'openai gives up a stream that its reader leaves',
    async run(world) {
      const server = await world.serve({
        headers: { 'content-type': 'text/event-stream' },
        body: [chunk('one'), gate().promise],
      })
      const stream = await openaiOf(world, server).chat.completions.create({ ...message, stream: true })
      for await (const { choices } of stream) {
        assert.equal(choices[0]?.delta.content, 'one')
        break
      }
      assert.equal((await server.requests[0]!.closed).how, 'aborted')
    },
  },
  {
    name: 'openai uploads a file',
    delegated: asked,
    async run(world) {
      const server = await world.serve({ headers: json, body: '{"id":"file-1"}' })
      const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => at % 251)
      const file = new File([bytes], 'data.bin', { type: 'application/x-own' })
      const openai = openaiOf(world, server)
      assert.equal((await openai.files.create({ file, purpose: 'assistants' })).id, 'file-1')
      const { headers, body } = await only(server, world)
      assert.match(headers['content-type']!, /^multipart\/form-data; boundary=/)
      const start = body.indexOf('\r\n\r\n', body.indexOf('filename="data.bin"')) + 4
      assert.deepEqual(body.subarray(start, start + bytes.length), Buffer.from(bytes))
      assert.ok(body.includes('name="purpose"\r\n\r\nassistants'))
    },
  },
  {
    name: 'openai uploads what a response of ours brings',
    delegated: asked,
    async run(world) {
      const server = await world.serve({
        '/source/name.txt': { body: 'from elsewhere' },
        '*': { headers: json, body: '{"id":"file-1"}' },
      })
      const file = await toFile(await world.fetch(server.url('/source/name.txt')))
      assert.equal(file.name, 'name.txt')
      await openaiOf(world, server).files.create({ file, purpose: 'assistants' })
      assert.ok(server.requests[1]!.body.includes('from elsewhere'))
      assert.equal(server.requests[1]!.protocol, world.version)
    },
  },
  {
    name: "openai's retry sends the body whole each time",
    async run(world) {
      const soon = { 'retry-after-ms': '1' }
      const server = await world.serve([{ status: 429, headers: soon }, { status: 500, headers: soon }, answer])
      await openaiOf(world, server, { maxRetries: 2 }).chat.completions.create(message)
      const expected = ['0', '1', '2'].map((count) => [count, JSON.stringify(message), world.version])
      assert.deepEqual(
        server.requests.map(({ headers, body, protocol }) => [
          headers['x-stainless-retry-count'],
          body.toString(),
          protocol,
        ]),
        expected,
      )
    },
  },
  {
    name: 'openai fails with what the server said',
    async run(world) {
      const server = await world.serve({ status: 400, headers: json, body: '{"error":{"message":"no such model"}}' })
      const error = await failure(openaiOf(world, server).chat.completions.create(message))
      assert.ok(error instanceof BadRequestError)
      assert.equal(error.message, '400 no such model')
    },
  },
  {
    name: 'openai calls a lost connection by its name, with the cause',
    async run(world) {
      const server = await world.serve({ reset: 'before-head' })
      const error = await failure(openaiOf(world, server).chat.completions.create(message))
      assert.ok(error instanceof APIConnectionError && !(error instanceof APIConnectionTimeoutError))
      assert.equal((error.cause as Error).message, 'fetch failed')
      assert.equal(server.count(), 1)
    },
  },
  {
    name: "openai's timeout gives up the request",
    async run(world) {
      const server = await world.serve({ '/warm': 200, '*': { hang: 'head' } })
      await (await world.fetch(server.url('/warm'))).text()
      const error = await failure(openaiOf(world, server, { timeout: 40 }).chat.completions.create(message))
      assert.ok(error instanceof APIConnectionTimeoutError)
      for (const { closed } of server.requests.slice(1)) assert.equal((await closed).how, 'aborted')
    },
  },
  {
    name: "openai is given up by the caller's signal, before the head and in a stream",
    async run(world) {
      const server = await world.serve([
        { hang: 'head' },
        { headers: { 'content-type': 'text/event-stream' }, body: [chunk('one'), gate().promise] },
      ])
      const openai = openaiOf(world, server)
      const first = new AbortController()
      const arrived = server.nextRequest()
      const call = failure(openai.chat.completions.create(message, { signal: first.signal }))
      await arrived
      first.abort()
      assert.ok((await call) instanceof APIUserAbortError)
      assert.equal((await server.requests[0]!.closed).how, 'aborted')

      const stream = await openai.chat.completions.create({ ...message, stream: true })
      let pieces = 0
      for await (const _ of stream) {
        pieces++
        stream.controller.abort()
      }
      assert.equal(pieces, 1)
      assert.equal((await server.requests[1]!.closed).how, 'aborted')
    },
  },
]
