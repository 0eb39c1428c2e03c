import { createHash } from 'node:crypto'
import type { Fetch } from './case.ts'

const longest = 512

/** The boundary of a form, as undici draws it; of one length always. */
export const boundary = /----formdata-undici-0[\da-f]{11}/g

/** Bytes as text, or as length and hash where there are many. */
export function bytesOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length <= longest) return buffer.toString('latin1')
  const text = buffer.toString('latin1').replaceAll(boundary, '{boundary}')
  return `${buffer.length} bytes, sha256 ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
}

/** Text, shortened in the same way. */
export function textOf(text: string): string {
  return text.length <= longest ? text : `text: ${bytesOf(Buffer.from(text))}`
}

const described = 6

/** What can be told of a thrown value: its class, name, message, code, and the same of its causes. */
export function errorOf(error: unknown, depth = 0): unknown {
  if (typeof error !== 'object' || error === null) return { thrown: typeof error, value: String(error) }
  const { name, message, code, cause, errors } = error as Partial<AggregateError> & { code?: unknown }
  return {
    class: error.constructor?.name,
    isError: error instanceof Error,
    name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(Array.isArray(errors) ? { errors: errors.length } : {}),
    ...(cause === undefined || depth > described ? {} : { cause: errorOf(cause, depth + 1) }),
  }
}

/** What a promise comes to. */
export async function settled(promise: Promise<unknown>): Promise<{ value: unknown } | { error: unknown }> {
  try {
    return { value: await promise }
  } catch (error) {
    return { error: errorOf(error) }
  }
}

/** What a promise was rejected with, and whether it is the signal's own reason. */
export async function rejection(call: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  try {
    await call
    return 'fulfilled'
  } catch (error) {
    return { same: Object.is(error, signal.reason), error: errorOf(error) }
  }
}

/** What a function that may throw at once comes to. */
export function attempt(act: () => unknown): Promise<{ value: unknown } | { error: unknown }> {
  return settled(
    (async () => {
      const result = act()
      if (result instanceof Promise) return { promise: await result }
      return result
    })(),
  )
}

/** Everything that a Response tells without its body. */
export function headOf(response: Response): Record<string, unknown> {
  return {
    class: response.constructor.name,
    status: response.status,
    statusText: response.statusText,
    ok: response.ok,
    url: response.url,
    type: response.type,
    redirected: response.redirected,
    headers: [...response.headers],
    cookies: response.headers.getSetCookie(),
    hasBody: response.body !== null,
    bodyUsed: response.bodyUsed,
  }
}

/** The head without touching `body`, which an implementation may make on first touch. */
export function untouchedHeadOf(response: Response): Record<string, unknown> {
  return {
    status: response.status,
    statusText: response.statusText,
    url: response.url,
    type: response.type,
    redirected: response.redirected,
    headers: [...response.headers],
    bodyUsed: response.bodyUsed,
  }
}

/** Head, and the body read as text. */
export async function whole(response: Response): Promise<unknown> {
  const head = untouchedHeadOf(response)
  const body = await settled(response.text().then(textOf))
  return { head, body, bodyUsed: response.bodyUsed }
}

/** The outcome of a call whose body is read as text. */
export async function outcome(fetch: Fetch, input: unknown, init?: unknown): Promise<unknown> {
  const call = init === undefined ? fetch(input) : fetch(input, init)
  return settled(call.then(whole))
}

/** Reads a stream to its end or its error; the bytes, however they were cut. */
export async function drain(stream: ReadableStream<Uint8Array> | null): Promise<unknown> {
  if (stream === null) return 'no body'
  const parts: Uint8Array[] = []
  const kinds = new Set<string>()
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      kinds.add(value.constructor.name)
      parts.push(value.slice())
    }
  } catch (error) {
    return { bytes: bytesOf(Buffer.concat(parts)), kinds: [...kinds], error: errorOf(error) }
  }
  return { bytes: bytesOf(Buffer.concat(parts)), kinds: [...kinds] }
}
