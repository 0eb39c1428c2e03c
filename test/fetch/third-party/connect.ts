import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { create, createFileRegistry, type Message } from '@bufbuild/protobuf'
import type { GenMessage, GenService } from '@bufbuild/protobuf/codegenv2'
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'
import { type Client, Code, ConnectError, createClient, type ServiceImpl } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web'
import { devCertificate, gate } from '../../../src/testing/index.ts'
import { type Case, failure, type World } from './world.ts'

type Word = Message<'words.Word'> & { text: string; count: number }

type Service = GenService<{
  turn: { methodKind: 'unary'; input: GenMessage<Word>; output: GenMessage<Word> }
  repeat: { methodKind: 'server_streaming'; input: GenMessage<Word>; output: GenMessage<Word> }
}>

const optional = { label: Label.OPTIONAL }
const types = { inputType: '.words.Word', outputType: '.words.Word' }
// What protoc would make of a file with one message and one service.
const file = create(FileDescriptorProtoSchema, {
  name: 'words.proto',
  package: 'words',
  syntax: 'proto3',
  messageType: [
    {
      name: 'Word',
      field: [
        { name: 'text', jsonName: 'text', number: 1, type: Type.STRING, ...optional },
        { name: 'count', jsonName: 'count', number: 2, type: Type.INT32, ...optional },
      ],
    },
  ],
  service: [
    {
      name: 'Words',
      method: [
        { name: 'Turn', ...types },
        { name: 'Repeat', ...types, serverStreaming: true },
      ],
    },
  ],
})
const service = createFileRegistry(file, () => undefined).getService('words.Words') as unknown as Service

/** What a server saw of each call. */
interface Call {
  readonly httpVersion: string
  readonly contentType: string | undefined
  readonly signal: AbortSignal
}

interface Words {
  readonly baseUrl: string
  readonly calls: readonly Call[]
}

async function serveWords(world: World, given: Partial<ServiceImpl<Service>>): Promise<Words> {
  const { key, cert } = await devCertificate()
  const calls: Call[] = []
  const adapter = connectNodeAdapter({
    routes: (router) => router.service(service, given),
    interceptors: [
      (next) => (request) => {
        const contentType = request.header.get('content-type') ?? undefined
        calls.push({ httpVersion: request.header.get('x-version')!, contentType, signal: request.signal })
        return next(request)
      },
    ],
  })
  const answer = (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => {
    request.headers['x-version'] = request.httpVersion
    adapter(request, response)
  }
  const server =
    world.protocol === 'h2' ? createSecureServer({ key, cert }, answer) : createServer({ key, cert }, answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  world.onEnd(() => void server.close())
  return { baseUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

const forms = [
  { form: 'binary', contentType: 'application/proto', transport: createConnectTransport, useBinaryFormat: true },
  { form: 'JSON', contentType: 'application/json', transport: createConnectTransport, useBinaryFormat: false },
  {
    form: 'gRPC-web',
    contentType: 'application/grpc-web+proto',
    transport: createGrpcWebTransport,
    useBinaryFormat: true,
  },
] as const

type Form = (typeof forms)[number]

function clientOf(world: World, { baseUrl }: Words, { transport, useBinaryFormat }: Form): Client<Service> {
  return createClient(service, transport({ baseUrl, useBinaryFormat, ...world.options }))
}

// As node:http and node:http2 name it.
const httpVersions: Readonly<Record<World['version'], string>> = { '1.1': '1.1', '2': '2.0' }

function ofForm(form: Form): readonly Case[] {
  return [
    {
      name: `connect-web calls a unary method in ${form.form}`,
      async run(world) {
        const words = await serveWords(world, {
          turn({ text, count }, { responseHeader, responseTrailer, requestHeader }) {
            responseHeader.set('x-head', requestHeader.get('x-own') ?? '')
            responseTrailer.set('x-tail', 'end')
            return { text: [...text].reverse().join(''), count: count + 1 }
          },
        })
        const seen: (string | null)[] = []
        const { text, count } = await clientOf(world, words, form).turn(
          { text: 'grüße 🐇', count: 2 ** 31 - 2 },
          {
            headers: { 'x-own': 'yes' },
            onHeader: (headers) => void seen.push(headers.get('x-head')),
            onTrailer: (trailers) => void seen.push(trailers.get('x-tail')),
          },
        )
        assert.deepEqual([text, count], ['🐇 eßürg', 2 ** 31 - 1])
        assert.deepEqual(seen, ['yes', 'end'])
        assert.deepEqual(
          words.calls.map(({ httpVersion, contentType }) => [httpVersion, contentType]),
          [[httpVersions[world.version], form.contentType]],
        )
      },
    },
    {
      name: `connect-web reads a stream in ${form.form}, message by message`,
      async run(world) {
        const gates = [gate(), gate()]
        const words = await serveWords(world, {
          async *repeat({ text, count }) {
            for (let at = 0; at < count; at++) {
              yield { text, count: at }
              await gates[at]?.promise
            }
          },
        })
        const got: string[] = []
        for await (const { text, count } of clientOf(world, words, form).repeat({ text: 'again', count: 3 })) {
          got.push(`${text} ${count}`)
          // The next one is sent only when this one has come.
          gates[count]?.open()
        }
        assert.deepEqual(got, ['again 0', 'again 1', 'again 2'])
        assert.equal(words.calls[0]?.httpVersion, httpVersions[world.version])
      },
    },
    {
      name: `connect-web gets the error of a method in ${form.form}, before and within a stream`,
      async run(world) {
        const words = await serveWords(world, {
          turn() {
            throw new ConnectError('no such word', Code.NotFound, { 'x-why': 'because' })
          },
          async *repeat({ text }) {
            yield { text, count: 0 }
            throw new ConnectError('worn out', Code.ResourceExhausted)
          },
        })
        const client = clientOf(world, words, form)
        const error = await failure(client.turn({ text: 'x' }))
        assert.ok(error instanceof ConnectError)
        assert.deepEqual(
          [error.code, error.rawMessage, error.metadata.get('x-why')],
          [Code.NotFound, 'no such word', 'because'],
        )

        let got = 0
        const read = async () => {
          for await (const _ of client.repeat({ text: 'x' })) got++
        }
        const broken = await failure(read())
        assert.ok(broken instanceof ConnectError)
        assert.deepEqual([got, broken.code, broken.rawMessage], [1, Code.ResourceExhausted, 'worn out'])
      },
    },
    {
      name: `connect-web gives up a stream in ${form.form}, and the server hears of it`,
      async run(world) {
        const words = await serveWords(world, {
          async *repeat({ text }, { signal }) {
            yield { text, count: 0 }
            await once(signal, 'abort')
          },
        })
        const controller = new AbortController()
        const read = async () => {
          const { signal } = controller
          for await (const _ of clientOf(world, words, form).repeat({ text: 'x' }, { signal })) controller.abort()
        }
        const error = await failure(read())
        assert.ok(error instanceof ConnectError)
        assert.equal(error.code, Code.Canceled)
        const { signal } = words.calls[0]!
        if (!signal.aborted) await once(signal, 'abort')
      },
    },
  ]
}

export const connectCases: readonly Case[] = [
  ...forms.flatMap(ofForm),
  {
    name: 'connect-web ends a call at its deadline',
    async run(world) {
      const words = await serveWords(world, {
        async turn({ text }, { signal }) {
          if (text === 'warm') return { text }
          if (!signal.aborted) await once(signal, 'abort')
          return { text }
        },
      })
      const client = clientOf(world, words, forms[0])
      await client.turn({ text: 'warm' })
      const error = await failure(client.turn({ text: 'x' }, { timeoutMs: 40 }))
      assert.ok(error instanceof ConnectError)
      assert.equal(error.code, Code.DeadlineExceeded)
    },
  },
]
