import { channel } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import { nextTick } from 'node:process'

// A response head can come for a stream that has been given up, before its reset is out. node:http2 (22 to 26) has
// forgotten the stream by then, and makes a new one, as for a push. Nobody reads it: what it holds of the session's window
// stays held. And nobody listens to it: when the session ends with an error, so does the process.

const streamCreated = channel('http2.client.stream.created')
let listens = false

/** Called when a request is given up: from then on, streams that node:http2 makes in place of forgotten ones are closed. */
export function closeForgottenStreams(): void {
  if (listens) return
  listens = true
  streamCreated.subscribe(onStreamCreated)
}

function onStreamCreated(message: unknown): void {
  const { stream, headers } = message as {
    readonly stream: ClientHttp2Stream
    readonly headers: Record<string, unknown>
  }
  // A request and a push have a method; only the head of a response has a status.
  if (headers[':status'] === undefined) return
  stream.on('error', ignore)
  nextTick(destroy, stream)
}

function ignore(): void {}

function destroy(stream: ClientHttp2Stream): void {
  stream.destroy()
}
