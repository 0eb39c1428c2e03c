import type { Socket } from 'node:net'
import { area, type Case, each } from '../case.ts'
import { headOf, outcome, settled, whole } from '../observe.ts'

/** Writes, and leaves the connection as it is. */
const answers: Record<string, string> = {
  'an own status text': 'HTTP/1.1 200 All Is Well\r\ncontent-length: 2\r\n\r\nok',
  'an empty status text': 'HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok',
  'no status text': 'HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok',
  'a status text of latin1': 'HTTP/1.1 200 Sch\xf6n\r\ncontent-length: 2\r\n\r\nok',
  'a status text with tabs': 'HTTP/1.1 200 A\tB  C\r\ncontent-length: 2\r\n\r\nok',
  'a wrong status text': 'HTTP/1.1 404 OK\r\ncontent-length: 2\r\n\r\nok',
  'a value of latin1': 'HTTP/1.1 200 OK\r\nx-a: \xe9\xff\r\ncontent-length: 0\r\n\r\n',
  'a value of UTF-8': 'HTTP/1.1 200 OK\r\nx-a: \xc3\xa9\r\ncontent-length: 0\r\n\r\n',
  'an empty value': 'HTTP/1.1 200 OK\r\nx-a:\r\nx-b: \r\ncontent-length: 0\r\n\r\n',
  'spaces around a value': 'HTTP/1.1 200 OK\r\nx-a:   a b  \r\nx-b:\t\tc\t\r\ncontent-length: 0\r\n\r\n',
  'a value with a colon': 'HTTP/1.1 200 OK\r\nx-a: b: c\r\ncontent-length: 0\r\n\r\n',
  'names in every case': 'HTTP/1.1 200 OK\r\nX-a: 1\r\nx-A: 2\r\nContent-Length: 0\r\n\r\n',
  'interim responses':
    'HTTP/1.1 103 Early\r\nx-e: 1\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'a continue': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  chunked: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n',
  'chunked with trailers': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n',
  'chunked with extensions': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n',
  'a body with 204': 'HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok',
  'a body with 304': 'HTTP/1.1 304 No\r\ncontent-length: 2\r\n\r\nok',
  'a body with 205': 'HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\nok',
  'connection close': 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok',
  'two lengths that agree': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok',
  'two lengths that differ': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!',
  'length and chunked':
    'HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'a length that is none': 'HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok',
  'a bad chunk': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n',
  'no HTTP at all': 'SSH-2.0-OpenSSH_9.6\r\n\r\n',
  'an unknown version': 'HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'version 1.0': 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'a status of two digits': 'HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok',
  'status 999': 'HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\nok',
  'status 600': 'HTTP/1.1 600 Odd\r\ncontent-length: 2\r\n\r\nok',
  'a bad header line': 'HTTP/1.1 200 OK\r\nnothing here\r\ncontent-length: 2\r\n\r\nok',
  'a name with a space': 'HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 2\r\n\r\nok',
  'a NUL in a value': 'HTTP/1.1 200 OK\r\nx-a: a\0b\r\ncontent-length: 2\r\n\r\nok',
  'a header beyond the limit': `HTTP/1.1 200 OK\r\nx-a: ${'v'.repeat(20_000)}\r\ncontent-length: 2\r\n\r\nok`,
  'a header below the limit': `HTTP/1.1 200 OK\r\nx-a: ${'v'.repeat(15_000)}\r\ncontent-length: 2\r\n\r\nok`,
  'a hundred headers': `HTTP/1.1 200 OK\r\n${Array.from({ length: 100 }, (_, at) => `x-${at}: ${at}\r\n`).join('')}content-length: 2\r\n\r\nok`,
  'a location of latin1 beside 200': 'HTTP/1.1 200 OK\r\nlocation: /\xe9\r\ncontent-length: 2\r\n\r\nok',
  'switching protocols unasked': 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
  'many set-cookies':
    'HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nx-m: 1\r\nSET-COOKIE: c=3, d\r\ncontent-length: 2\r\n\r\nok',
}

/** Writes, and closes the connection. */
const endings: Record<string, string> = {
  'until the connection closes': 'HTTP/1.1 200 OK\r\n\r\nall of it',
  'until it closes, with connection: close': 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it',
  'until it closes, version 1.0': 'HTTP/1.0 200 OK\r\n\r\nall of it',
  'truncated with a length': 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\npart',
  'truncated before the body': 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n',
  'truncated chunked': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n',
  'truncated within a chunk': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\npart',
  'truncated within the head': 'HTTP/1.1 200 OK\r\ncontent-le',
  'nothing at all': '',
  'an interim response alone': 'HTTP/1.1 103 Early\r\n\r\n',
  'after a whole answer': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'too short a length': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokay, more',
}

const write = (text: string) => (socket: Socket) => socket.write(Buffer.from(text, 'latin1'))
const end = (text: string) => (socket: Socket) => socket.end(Buffer.from(text, 'latin1'))

const byHand: Case[] = [
  {
    name: 'a reset before the head, or over TLS the end',
    only: 'h1',
    retried: true,
    run: async (fetch, env) =>
      outcome(fetch, await env.raw((socket) => (env.secure ? socket.destroy() : socket.resetAndDestroy()))),
  },
  {
    name: 'a body to HEAD',
    only: 'h1',
    run: async (fetch, env) => {
      const url = await env.raw(end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'))
      const response = await fetch(url, { method: 'HEAD' })
      return [headOf(response), await whole(response)]
    },
  },
  {
    name: 'a head byte by byte',
    only: 'h1',
    run: async (fetch, env) => {
      const url = await env.raw(async (socket) => {
        for (const letter of 'HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok') {
          socket.write(letter)
          await new Promise(setImmediate)
        }
      })
      return outcome(fetch, url)
    },
  },
  {
    name: 'two answers on one connection',
    only: 'h1',
    run: async (fetch, env) => {
      const url = await env.raw((socket, _head, number) =>
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${number}`),
      )
      return [await outcome(fetch, url), await outcome(fetch, url)]
    },
  },
  {
    name: 'no body that is read is lost when the connection breaks in it',
    only: 'h1',
    run: async (fetch, env) => {
      let socket: Socket | undefined
      const url = await env.raw((one) => {
        socket = one
        one.write('HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\npart')
      })
      const response = await fetch(url)
      const reader = response.body!.getReader()
      const first = await reader.read()
      socket!.destroy()
      return {
        first: Buffer.from(first.value!).toString(),
        second: await settled(reader.read()),
        closed: await settled(reader.closed),
      }
    },
  },
]

export const raw = area(
  'raw',
  each(
    'an answer',
    answers,
    async (text, fetch, env) => {
      // What is nonsense must end, so the server hangs up after it.
      const broken =
        /differ|none|bad|no HTTP|unknown|digits|limit|NUL|space|unasked/.test(text) || text.startsWith('SSH')
      return outcome(fetch, await env.raw(broken ? end(text) : write(text)))
    },
    { only: 'h1', retried: true },
  ),
  each('an ending', endings, async (text, fetch, env) => outcome(fetch, await env.raw(end(text))), {
    only: 'h1',
    retried: true,
  }),
  each(
    'an ending, its body streamed',
    endings,
    async (text, fetch, env) => {
      const call = fetch(await env.raw(end(text)))
      return settled(
        call.then(async (response) => {
          const parts: string[] = []
          const failed = await settled(
            (async () => {
              for await (const part of response.body as unknown as AsyncIterable<Uint8Array>)
                parts.push(Buffer.from(part).toString())
            })(),
          )
          return { text: parts.join(''), failed }
        }),
      )
    },
    { only: 'h1', retried: true },
  ),
  byHand,
)
