import type { OutgoingHttpHeaders } from 'node:http'
import type { GoAway, HeaderValues } from './step.ts'

/** What a step can do on the wire: one implementation for HTTP/1.1, one for HTTP/2. */
export interface Reply {
  /** Nothing more can be sent. */
  readonly closed: boolean
  /** The request asks for a tunnel: a CONNECT, or an upgrade. */
  readonly tunnels: boolean
  early(status: number, headers: HeaderValues): void
  /** Sends the head now. */
  head(status: number, headers: OutgoingHttpHeaders, trailers: HeaderValues | undefined): void
  /** Resolves when the bytes are with the kernel, or will never be. */
  write(chunk: string | Uint8Array): Promise<void>
  end(): void
  /** Head and body in one go. */
  answer(status: number, headers: OutgoingHttpHeaders, body: Uint8Array | undefined): void
  reset(code: number): void
  cut(): void
  refuse(): void
  /** Returns whether the request is still to be answered. */
  goaway(goaway: GoAway): boolean
  destroyConnection(): void
  /** A step went wrong: answers 500 with the text, or breaks the answer off where its head is out. */
  fail(text: string): void
  /** After the head: sends back whatever comes, until either side ends. */
  tunnel(): void
}
