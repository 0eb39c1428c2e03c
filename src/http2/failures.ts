import { constants } from 'node:http2'
import type { Socket } from 'node:net'
import { errors } from 'undici'

const codeNames = new Map<unknown, string>(
  Object.entries(constants)
    .filter(
      ([name]) =>
        /^NGHTTP2_[A-Z0-9_]+$/.test(name) &&
        !/^NGHTTP2_(ERR|FLAG|DEFAULT|SETTINGS|HCAT|NV|STREAM_STATE|SESSION)_/.test(name),
    )
    .map(([name, code]) => [code, name]),
)

/** The stream was reset by the server: shaped as node:http2's own error, with the code of the frame beside it. */
export function streamError(code: number): Error {
  return Object.assign(new Error(`Stream closed with error code ${codeNames.get(code) ?? code}`), {
    code: 'ERR_HTTP2_STREAM_ERROR',
    http2ErrorCode: code,
  })
}

/** Whether TLS ended the connection, as with an alert about a certificate: another one would end in the same way. */
export function isOfTls(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && /^ERR_(SSL|TLS)_/.test(code)
}

/** The session is over. */
export function sessionError(message: string, socket: Socket | null, cause?: unknown): Error {
  const error = new errors.SocketError(
    message,
    socket === null
      ? undefined
      : ({
          localAddress: socket.localAddress,
          localPort: socket.localPort,
          remoteAddress: socket.remoteAddress,
          remotePort: socket.remotePort,
          remoteFamily: socket.remoteFamily,
          timeout: socket.timeout,
          bytesWritten: socket.bytesWritten,
          bytesRead: socket.bytesRead,
        } as never),
  )
  if (cause !== undefined) error.cause = cause
  return error
}
