import { type Backoff, type BackoffOptions, backoffDefaults, createBackoff } from './backoff.ts'
import { checkBoolean, checkDuration, checkFunction, checkNumber, checkOptions } from './options.ts'
import { kindOfStatus, type Outcome } from './outcome.ts'
import { parsePushback, parseRetryAfter } from './retry-after.ts'

/** Why an outcome is not tried again. */
export type RetryRefusal =
  /** `maxAttempts` were made. */
  | 'exhausted'
  /** The request may have reached the server, and repeating it might do its work twice. */
  | 'unsafe'
  /** The outcome is none that another attempt would mend. */
  | 'not-retryable'
  /** The body cannot be sent a second time. */
  | 'not-replayable'
  /** The server asks for a longer wait than allowed, or than the deadline leaves. */
  | 'retry-after-too-long'
  /** The wait would end at or past the deadline. */
  | 'deadline'
  /** `retryOn` said no. */
  | 'forbidden'
  /** The server said no: gRPC's retry pushback. */
  | 'pushback'
  /** The retry budget is exhausted. */
  | 'budget'

/** What is known of a request when the caller's own marks are asked for. */
export interface RetryRequest {
  readonly method: string
  readonly origin: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** What is known of an attempt that is over. */
export interface RetryInfo {
  /** Number of the attempt, from 1. */
  readonly attempt: number
  readonly method: string
  /** Whether the caller marked the request as idempotent: by option, or by an `Idempotency-Key` header. */
  readonly idempotent: boolean
  /** Whether the body can be sent again as it was. */
  readonly replayable: boolean
  /** `false` if the attempt provably never reached the server. */
  readonly sent: boolean
  /** Milliseconds until the deadline; `Infinity` without one. */
  readonly remaining: number
}

/** The call's side of a decision: one object for all attempts of a call, which {@link RetryPolicy.decide} writes to. */
export interface RetryContext extends RetryInfo {
  /** The call's own sequence of waits; `null` until the first retry makes it. */
  backoff: Backoff | null
  /** Why the last decision was no; `null` if it was yes. */
  refusal: RetryRefusal | null
}

/** Options of the retry decision. */
export interface RetryOptions {
  /**
   * How often a request is sent at most, the first time included; 1 never retries.
   * @default 4
   */
  readonly maxAttempts?: number
  /**
   * Which statuses are tried again. 501 cannot be among them: the server will not have learnt the method by then.
   * @default [408, 425, 429, 500, 502, 503, 504]
   */
  readonly statuses?: readonly number[]
  /**
   * Methods whose requests may be repeated (RFC 9110 §9.2.2). Naming another one marks all its requests as idempotent.
   * @default ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY']
   */
  readonly methods?: readonly string[]
  /**
   * How long to wait before each retry.
   * @default exponential from 100 ms, doubling, with decorrelated jitter
   */
  readonly backoff?: BackoffOptions
  /**
   * The longest wait in milliseconds. A server that asks for a longer one is not asked again.
   * @default 5_000
   */
  readonly maxDelay?: number
  /**
   * Whether a `Retry-After` field takes the place of the backoff.
   * @default true
   */
  readonly respectRetryAfter?: boolean
  /**
   * Says of an outcome whether to try again; `undefined` leaves it to the defaults. It cannot make an unsafe request safe,
   * and is not asked where another attempt never helps. If it throws, the defaults hold.
   * @default undefined
   */
  readonly retryOn?: ((outcome: Outcome, info: RetryInfo) => boolean | undefined) | undefined
  /**
   * Marks requests that may be repeated although their method is not idempotent. If the function throws, they are not.
   * @default false
   */
  readonly idempotent?: boolean | ((request: RetryRequest) => boolean)
  /**
   * A number from 0 (included) to 1 (excluded), for the jitter.
   * @default Math.random
   */
  readonly random?: () => number
  /**
   * Milliseconds since 1970, for dates in `Retry-After`.
   * @default Date.now
   */
  readonly now?: () => number
}

/** What a retry does unless told otherwise. */
export const retryDefaults = Object.freeze({
  maxAttempts: 4,
  statuses: Object.freeze([408, 425, 429, 500, 502, 503, 504] as const),
  methods: Object.freeze(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'] as const),
  backoff: backoffDefaults,
  maxDelay: 5_000,
  respectRetryAfter: true,
  idempotent: false,
})

const known = [...Object.keys(retryDefaults), 'retryOn', 'random', 'now']
const notImplemented = 501
const idempotentMethods: ReadonlySet<string> = new Set(retryDefaults.methods)

/** Decides after each attempt whether to make another one, and when. Sends nothing and keeps nothing between calls. */
export class RetryPolicy {
  readonly maxAttempts: number
  readonly maxDelay: number
  readonly #statuses: ReadonlySet<number>
  readonly #methods: ReadonlySet<string>
  readonly #newBackoff: () => Backoff
  readonly #respectRetryAfter: boolean
  readonly #retryOn: RetryOptions['retryOn']
  readonly #idempotent: boolean | ((request: RetryRequest) => boolean)
  readonly #now: () => number

  /** Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
  constructor(options: RetryOptions = {}) {
    checkOptions('retry', options, known)
    const { retryOn, idempotent = retryDefaults.idempotent, random } = options
    this.maxAttempts = checkNumber('retry: maxAttempts', options.maxAttempts ?? retryDefaults.maxAttempts, {
      min: 1,
      integer: true,
    })
    this.maxDelay = checkDuration('retry: maxDelay', options.maxDelay ?? retryDefaults.maxDelay, 0)
    this.#statuses = checkStatuses(options.statuses ?? retryDefaults.statuses)
    this.#methods = checkMethods('retry', options.methods ?? retryDefaults.methods)
    this.#respectRetryAfter = checkBoolean(
      'retry: respectRetryAfter',
      options.respectRetryAfter ?? retryDefaults.respectRetryAfter,
    )
    if (random !== undefined) checkFunction('retry: random', random)
    this.#newBackoff = createBackoff(options.backoff, { maxDelay: this.maxDelay, random })
    this.#retryOn = retryOn === undefined ? undefined : checkFunction('retry: retryOn', retryOn)
    this.#idempotent =
      typeof idempotent === 'function' ? idempotent : checkBoolean('retry: idempotent', idempotent as boolean)
    this.#now = options.now === undefined ? () => Date.now() : checkFunction('retry: now', options.now)
  }

  /**
   * Whether the `idempotent` option marks a request. `request` is called only where the option is a function.
   */
  marks(request: () => RetryRequest): boolean {
    const idempotent = this.#idempotent
    if (typeof idempotent === 'boolean') return idempotent
    try {
      return idempotent(request()) === true
    } catch {
      return false
    }
  }

  /**
   * Whether to try again after `outcome`.
   *
   * @returns milliseconds to wait before the next attempt; -1 for no, with the reason in `context.refusal`
   */
  decide(outcome: Outcome, context: RetryContext): number {
    const refusal = this.#refuse(outcome, context)
    context.refusal = refusal
    return refusal === null ? this.#delay(outcome, context) : -1
  }

  #refuse(outcome: Outcome, context: RetryContext): RetryRefusal | null {
    if (!mayEverHelp(outcome)) return 'not-retryable'
    const byDefault = this.#wants(outcome)
    const verdict = this.#retryOn === undefined ? undefined : this.#ask(this.#retryOn, outcome, context)
    if (!(verdict ?? byDefault)) return byDefault ? 'forbidden' : 'not-retryable'
    return refusalToRepeat(context, this.#methods) ?? (context.attempt < this.maxAttempts ? null : 'exhausted')
  }

  #wants({ kind, status }: Outcome): boolean {
    switch (kind) {
      case 'networkError':
      case 'timeout':
        return true
      case 'throttled':
      case 'serverError':
      case 'clientError': {
        const own = status !== undefined && kind === kindOfStatus(status)
        if (own) return this.#statuses.has(status)
        // Somebody judged otherwise than the status says: that is the answer.
        return kind !== 'clientError'
      }
      default:
        return false
    }
  }

  #ask(retryOn: NonNullable<RetryOptions['retryOn']>, outcome: Outcome, info: RetryInfo): boolean | undefined {
    try {
      const verdict = retryOn(outcome, info)
      return typeof verdict === 'boolean' ? verdict : undefined
    } catch {
      return undefined
    }
  }

  #delay({ headers }: Outcome, context: RetryContext): number {
    if (headers !== undefined) {
      const pushback = parsePushback(headers['grpc-retry-pushback-ms'] as string | string[] | undefined)
      if (pushback !== undefined) return this.#pushedBack(pushback, context)
      const asked = this.#respectRetryAfter ? parseRetryAfter(headers['retry-after'], this.#now()) : undefined
      if (asked !== undefined) return this.#asked(asked, context)
    }
    context.backoff ??= this.#newBackoff()
    const delay = context.backoff.next()
    if (delay < context.remaining) return delay
    context.refusal = 'deadline'
    return -1
  }

  #pushedBack(pushback: number, context: RetryContext): number {
    if (pushback < 0) {
      context.refusal = 'pushback'
      return -1
    }
    // A6: should that attempt fail as well, the waits begin anew.
    context.backoff = null
    return this.#asked(pushback, context)
  }

  /** What the server asks for: exactly that, or nothing at all. */
  #asked(delay: number, context: RetryContext): number {
    if (delay <= this.maxDelay && delay < context.remaining) return delay
    context.refusal = 'retry-after-too-long'
    return -1
  }
}

/** Makes a retry decision. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function createRetryPolicy(options?: RetryOptions): RetryPolicy {
  return new RetryPolicy(options)
}

function checkStatuses(statuses: readonly number[]): ReadonlySet<number> {
  if (!Array.isArray(statuses)) throw new TypeError('retry: statuses must be an array of statuses')
  for (const status of statuses) {
    checkNumber('retry: statuses', status, { min: 400, max: 599, integer: true })
    if (status === notImplemented) throw new RangeError('retry: statuses must not hold 501, which is never retried')
  }
  return new Set(statuses)
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Names of methods, in capitals. Throws a `TypeError` that names `layer` for what is none. */
export function checkMethods(layer: string, methods: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(methods)) throw new TypeError(`${layer}: methods must be an array of method names`)
  for (const method of methods) {
    if (typeof method !== 'string' || !token.test(method)) {
      throw new TypeError(`${layer}: methods must hold method names, got ${JSON.stringify(method)}`)
    }
  }
  return new Set(methods.map((method) => method.toUpperCase()))
}

/**
 * Why a request must not be sent again, whoever asks for it; `null` where it may. Unsafe is one whose method is not among
 * `methods` (in capitals), that the caller did not mark, and that may have reached the server (RFC 9110 §9.2.2).
 */
export function refusalToRepeat(
  request: Pick<RetryInfo, 'method' | 'idempotent' | 'replayable' | 'sent'>,
  methods: ReadonlySet<string> = idempotentMethods,
): RetryRefusal | null {
  if (request.sent && !methods.has(request.method) && !request.idempotent) return 'unsafe'
  return request.replayable ? null : 'not-replayable'
}

/** `false` where another attempt never helps, and no option can ask for one. */
export function mayEverHelp({ kind, phase, status, error }: Outcome): boolean {
  switch (kind) {
    case 'deadline':
    case 'shed':
    case 'cancelled':
    case 'invalid':
    case 'closed':
      return false
    default:
      // Bytes of a body may have reached the caller, and no other attempt's may follow them.
      return phase !== 'body' && status !== notImplemented && (error === undefined || !isPermanent(error))
  }
}

// OpenSSL's verdicts on a certificate, as Node names them.
const certificateCodes = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CRL_SIGNATURE_FAILURE',
  'CRL_NOT_YET_VALID',
  'CRL_HAS_EXPIRED',
  'ERROR_IN_CRL_LAST_UPDATE_FIELD',
  'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'HOSTNAME_MISMATCH',
])

// Certificates, keys and TLS settings; URLs and schemes; header names and values.
const permanentCode = new RegExp(
  `^(?:${[
    'CERT_',
    'ERR_TLS_(?!HANDSHAKE_TIMEOUT$)',
    'ERR_OSSL_',
    'ERR_SSL_.*(?:CERTIFICATE|UNKNOWN_CA)',
    'ERR_INVALID_(?:URL|PROTOCOL|CHAR|HTTP_TOKEN|ARG_)',
    'ERR_UNESCAPED_CHARACTERS',
    'ERR_HTTP_INVALID_HEADER_VALUE',
    'ERR_HTTP2_INVALID_(?:CONNECTION_HEADERS|HEADER_VALUE|PSEUDOHEADER)',
    'ERR_HTTP2_(?:HEADER_SINGLE_VALUE|PSEUDOHEADER_NOT_ALLOWED)',
  ].join('|')})`,
)
const maxCauses = 16

function isPermanent(error: unknown): boolean {
  const open = [error]
  for (let looked = 0; looked < maxCauses && open.length > 0; looked++) {
    const at = open.pop()
    if (typeof at !== 'object' || at === null) continue
    const { code, cause, errors, status } = at as {
      code?: unknown
      cause?: unknown
      errors?: unknown
      status?: unknown
    }
    if (typeof code === 'string' && (certificateCodes.has(code) || permanentCode.test(code))) return true
    // A proxy that wants to know who asks, or lets nobody through.
    if (code === 'ERR_PROXY' && typeof status === 'number' && status < 500 && status !== 408 && status !== 429)
      return true
    if (cause !== undefined) open.push(cause)
    if (Array.isArray(errors)) open.push(...errors)
  }
  return false
}
