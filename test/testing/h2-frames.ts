import { connect } from 'node:net'
import { onTestFinished } from 'vitest'

const typeNames = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH', 'PING', 'GOAWAY', 'WINDOW_UPDATE']

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A caller that sees the very frames: node:http2 shows the end of a stream, not how it came about. */
export interface FrameCaller {
  /** What the server sent on streams, and GOAWAY, such as `DATA 3`, `DATA 0 END_STREAM`, `RST_STREAM 2`, `GOAWAY 1 0`. */
  readonly frames: string[]
  get(path: string, stream?: number): void
  /** A POST whose body goes on. */
  startPost(path: string, body: string, stream?: number): void
  reset(code: number, stream?: number): void
  /** Resolves when a frame with this name has come. */
  seen(name: string): Promise<void>
}

export function callH2c(port: number): FrameCaller {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  onTestFinished(() => {
    socket.destroy()
  })
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(frame(4, 0, 0, Buffer.alloc(0)))
  const frames: string[] = []
  let waiting: (() => void)[] = []
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk as Buffer])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const length = rest.readUIntBE(0, 3)
      const name = typeNames[rest[3]!]!
      const payload = rest.subarray(9, 9 + length)
      const end = (rest[4]! & 1) === 1 ? ' END_STREAM' : ''
      if (name === 'DATA') frames.push(`DATA ${length}${end}`)
      if (name === 'HEADERS') frames.push(`HEADERS${end}`)
      if (name === 'RST_STREAM') frames.push(`RST_STREAM ${payload.readUInt32BE(0)}`)
      if (name === 'GOAWAY') frames.push(`GOAWAY ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)}`)
      rest = rest.subarray(9 + length)
    }
    for (const check of waiting) check()
  })
  // HPACK, all literal but for what the static table has: :method, :scheme http, :authority x, :path.
  const head = (method: number, path: string) =>
    Buffer.concat([
      Buffer.from([0x80 | method, 0x86, 0x01, 1]),
      Buffer.from('x'),
      Buffer.from([0x04, path.length]),
      Buffer.from(path),
    ])
  return {
    frames,
    get: (path, stream = 1) => {
      socket.write(frame(1, 4 | 1, stream, head(2, path)))
    },
    startPost: (path, body, stream = 1) => {
      socket.write(frame(1, 4, stream, head(3, path)))
      socket.write(frame(0, 0, stream, Buffer.from(body)))
    },
    reset: (code, stream = 1) => {
      const payload = Buffer.alloc(4)
      payload.writeUInt32BE(code)
      socket.write(frame(3, 0, stream, payload))
    },
    seen: (name) =>
      new Promise((resolve) => {
        const check = () => {
          if (!frames.some((one) => one.startsWith(name))) return
          waiting = waiting.filter((one) => one !== check)
          resolve()
        }
        waiting.push(check)
        check()
      }),
  }
}
