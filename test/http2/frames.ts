// A server that speaks HTTP/2 in single frames: what node:http2 would never send, and what it never shows.
import { createServer, type Server, type Socket } from 'node:net'

const typeNames = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH', 'PING', 'GOAWAY', 'WINDOW_UPDATE']
const preface = 24

export interface SeenFrame {
  readonly type: string
  readonly stream: number
  readonly flags: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at)
  return bytes
}

/** One connection of a {@link FrameServer}. */
export class FrameConnection {
  readonly socket: Socket
  readonly frames: SeenFrame[] = []
  /** Streams that were opened, in their order. */
  readonly streams: number[] = []
  answersPings = true
  private rest = Buffer.alloc(0)
  private greeted = false
  private readonly changed: () => void
  private readonly onStream: (connection: FrameConnection, stream: number) => void

  constructor(socket: Socket, changed: () => void, onStream: (connection: FrameConnection, stream: number) => void) {
    this.socket = socket
    this.changed = changed
    this.onStream = onStream
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (chunk) => this.read(chunk as Buffer))
  }

  private read(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk])
    if (!this.greeted) {
      if (this.rest.length < preface) return
      this.greeted = true
      this.rest = this.rest.subarray(preface)
    }
    while (this.rest.length >= 9 && this.rest.length >= 9 + this.rest.readUIntBE(0, 3)) {
      const length = this.rest.readUIntBE(0, 3)
      const seen: SeenFrame = {
        type: typeNames[this.rest[3] as number] ?? 'UNKNOWN',
        flags: this.rest[4] as number,
        stream: this.rest.readUInt32BE(5),
        payload: this.rest.subarray(9, 9 + length),
      }
      this.rest = this.rest.subarray(9 + length)
      this.frames.push(seen)
      if (seen.type === 'SETTINGS' && (seen.flags & 1) === 0) this.send(4, 1, 0)
      if (seen.type === 'PING' && (seen.flags & 1) === 0 && this.answersPings) this.send(6, 1, 0, seen.payload)
      if (seen.type === 'HEADERS' && !this.streams.includes(seen.stream)) {
        this.streams.push(seen.stream)
        this.onStream(this, seen.stream)
      }
      this.changed()
    }
  }

  send(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): void {
    this.socket.write(frame(type, flags, stream, payload))
  }

  /** `maxStreams`: the most streams that may be open. */
  settings(maxStreams?: number): void {
    const payload = Buffer.alloc(maxStreams === undefined ? 0 : 6)
    if (maxStreams !== undefined) {
      payload.writeUInt16BE(3, 0)
      payload.writeUInt32BE(maxStreams, 2)
    }
    this.send(4, 0, 0, payload)
  }

  /** A head of status 200, and nothing else in it but perhaps a length. */
  head(stream: number, end = false, contentLength?: number): void {
    const length = contentLength === undefined ? '' : `${contentLength}`
    // HPACK: `:status: 200`, and content-length (28 of the static table) as a literal.
    const field = length === '' ? [] : [0x0f, 0x0d, length.length, ...Buffer.from(length)]
    this.send(1, 4 | (end ? 1 : 0), stream, Buffer.from([0x88, ...field]))
  }

  data(stream: number, text: string, end = false): void {
    this.send(0, end ? 1 : 0, stream, Buffer.from(text))
  }

  answer(stream: number, text = 'ok'): void {
    this.head(stream)
    this.data(stream, text, true)
  }

  reset(stream: number, code: number): void {
    this.send(3, 0, stream, words(code))
  }

  goaway(lastStream: number, code = 0): void {
    this.send(7, 0, 0, words(lastStream, code))
  }

  /** What came on one stream, such as `HEADERS`, `DATA 5 END`, `RST_STREAM 8`. */
  of(stream: number): string[] {
    return this.frames
      .filter((seen) => seen.stream === stream && seen.type !== 'WINDOW_UPDATE')
      .map(({ type, flags, payload }) => {
        const end = (flags & 1) === 1 && type !== 'RST_STREAM' ? ' END' : ''
        if (type === 'DATA') return `DATA ${payload.length}${end}`
        if (type === 'RST_STREAM') return `RST_STREAM ${payload.readUInt32BE(0)}`
        return `${type}${end}`
      })
  }

  count(type: string): number {
    return this.frames.filter((seen) => seen.type === type && (seen.flags & 1) === 0).length
  }
}

export type OnStream = (connection: FrameConnection, stream: number, at: number) => void

/** HTTP/2 without TLS, by prior knowledge. */
export class FrameServer {
  readonly connections: FrameConnection[] = []
  /** Streams on all connections. */
  streams = 0
  /** What is done as a connection is made; by default settings without a bound. */
  onConnection: (connection: FrameConnection) => void = (connection) => connection.settings()
  /** What is done with a stream; by default it is answered. */
  onStream: OnStream = (connection, stream) => connection.answer(stream)
  private readonly server: Server
  private waiting: (() => void)[] = []

  constructor() {
    this.server = createServer((socket) => {
      const connection = new FrameConnection(
        socket,
        () => {
          for (const check of [...this.waiting]) check()
        },
        (one, stream) => this.onStream(one, stream, ++this.streams),
      )
      this.connections.push(connection)
      this.onConnection(connection)
    })
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as { port: number }).port}`
  }

  /** Resolves when `holds` is true, which is asked after each frame. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!holds()) return
        this.waiting = this.waiting.filter((one) => one !== check)
        resolve()
      }
      this.waiting.push(check)
      check()
    })
  }

  close(): void {
    this.server.close()
    for (const { socket } of this.connections) socket.destroy()
  }
}
