import { sensitiveHeaders } from 'node:http2'

/** A negotiated protocol, as `network.protocol.version` names it. `'1.1'` stands for every HTTP/1. */
export type Protocol = '1.1' | '2'

// Heads that no connection brought: MockAgent's, a cache's. Remembered, because further out they arrive behind the
// controller of some other layer. Only these are remembered: real responses pay one look-up and nothing else.
const madeUpHeads = new WeakSet<object>()

/** Notes of a head that no connection brought it. */
export function noteMadeUpHead(rawHeaders: object, headers: object): void {
  madeUpHeads.add(rawHeaders)
  madeUpHeads.add(headers)
}

function isOfHttp2(headers: unknown): boolean {
  return typeof headers === 'object' && headers !== null && sensitiveHeaders in headers
}

/**
 * The protocol of a response head, from what undici shows a dispatch handler in `onResponseStart`: over HTTP/2 the
 * headers are the very object of node:http2, with its `sensitiveHeaders` symbol; over HTTP/1 the controller has the raw
 * headers as a list.
 *
 * `undefined` where no connection made the head: undici gives MockAgent, the cache and snapshots a plain object as
 * controller, and the transport an instance of a class.
 */
export function protocolOfHead(
  controller: { readonly rawHeaders?: unknown } | null | undefined,
  headers: object | null | undefined,
): Protocol | undefined {
  const raw = controller?.rawHeaders
  const isHttp2 = isOfHttp2(headers)
  if (!Array.isArray(raw)) return isHttp2 || isOfHttp2(raw) ? '2' : undefined
  if (madeUpHeads.has(raw)) return undefined
  // A cache keeps the symbol of a response that came over HTTP/2, and makes a list of its raw headers.
  if (!isHttp2 && Object.getPrototypeOf(controller) !== Object.prototype) return '1.1'
  madeUpHeads.add(raw)
  if (headers) madeUpHeads.add(headers)
  return undefined
}

/**
 * The protocol of the `headers` that `undici.request` resolves with. `undefined` for anything but undici's
 * own header object, and for what a mock or a cache gave where a layer of the kit saw it; a bare MockAgent leaves nothing
 * to see and reads as `'1.1'`.
 */
export function protocolOfHeaders(headers: unknown): Protocol | undefined {
  if (typeof headers !== 'object' || headers === null || madeUpHeads.has(headers)) return undefined
  if (isOfHttp2(headers)) return '2'
  return Object.getPrototypeOf(headers) === Object.prototype ? '1.1' : undefined
}
