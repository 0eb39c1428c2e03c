import { type IncomingHttpHeaders, STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http'
import { checkNumber, checkOptions, show } from '../policies/options.ts'
import { HeldAnswer, rawPartsOnly } from './held-answer.ts'
import { noteMadeUpHead } from './protocol.ts'

/** An answer that no server gave. */
export interface FallbackAnswer {
  /**
   * Its status, from 200 to 599.
   * @default 200
   */
  readonly status?: number
  /** A `content-length` is always that of the body. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /**
   * What it says.
   * @default an empty body
   */
  readonly body?: string | Uint8Array
}

// What comes with these has no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
const withoutBody: ReadonlySet<number> = new Set([204, 205, 304])
const ofOneConnection: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** A checked answer, in the forms in which a response has its headers. */
export class PreparedAnswer {
  readonly status: number
  readonly body: Buffer
  readonly #fields: readonly (readonly [name: string, value: string | readonly string[]])[]

  /** Throws a `TypeError` or `RangeError` that names what is wrong. */
  constructor(where: string, answer: FallbackAnswer) {
    checkOptions(where, answer, ['status', 'headers', 'body'])
    const { status = 200, headers = {}, body = '' } = answer
    this.status = checkNumber(`${where}: status`, status, { min: 200, max: 599, integer: true })
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError(`${where}: body must be a string or bytes, got ${show(body)}`)
    }
    this.body =
      typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    if (withoutBody.has(status) && this.body.length > 0) {
      throw new TypeError(`${where}: body must be empty where the status is ${status}`)
    }
    if (typeof headers !== 'object' || headers === null) {
      throw new TypeError(`${where}: headers must be an object, got ${show(headers)}`)
    }
    const fields = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'content-length')
    for (const [name, value] of fields) checkField(where, name, value)
    if (status !== 204) fields.push(['content-length', `${this.body.length}`])
    this.#fields = fields.map(([name, value]) => [name.toLowerCase(), value])
  }

  /** A new one for a call: who gets it may write to its headers. */
  make(method: string): HeldAnswer {
    const headers: IncomingHttpHeaders = {}
    const raw: Buffer[] = []
    for (const [name, value] of this.#fields) {
      headers[name] = typeof value === 'string' ? value : [...value]
      for (const one of [value].flat()) raw.push(Buffer.from(name), Buffer.from(one, 'latin1'))
    }
    noteMadeUpHead(raw, headers)
    const answer = new HeldAnswer(rawPartsOnly(raw, []), this.status, headers, STATUS_CODES[this.status])
    if (this.body.length > 0 && method !== 'HEAD') answer.data(Buffer.from(this.body))
    answer.end({})
    return answer
  }
}

function checkField(where: string, name: string, value: unknown): void {
  if (ofOneConnection.has(name.toLowerCase())) {
    throw new TypeError(`${where}: headers must not hold ${show(name)}, which is about a connection`)
  }
  for (const one of [value].flat()) {
    if (typeof one !== 'string') throw new TypeError(`${where}: headers.${name} must be strings, got ${show(one)}`)
    validateHeaderName(name)
    validateHeaderValue(name, one)
  }
}
