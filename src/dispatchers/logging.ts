import { checkFunction, checkOptions } from '../policies/options.ts'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import { checkUnreadBodyTimeout } from './bulkhead.ts'
import type { AttemptObserver, CallScope, Exchange, ScopedOptions } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { Stage } from './guarded-call.ts'
import { redactedUrl } from './redact.ts'
import type { Layer } from './relay.ts'
import { unreadBodyTimeout } from './unread-body.ts'

/** What `logging` needs of a logger: pino, and whatever takes `(object, message)` as pino does. */
export interface Logger {
  debug(record: object, message: string): void
  info(record: object, message: string): void
  warn(record: object, message: string): void
  error(record: object, message: string): void
  /** Where there is one, records below the level are not even made. */
  isLevelEnabled?(level: string): boolean
}

/** One record a call (`attempt` absent), and at debug level one an attempt. Times are milliseconds. */
export interface CallRecord {
  readonly method: string
  /** Without credentials; values of signatures, keys and tokens are `REDACTED`. */
  readonly url: string
  readonly status: number | undefined
  readonly outcome: OutcomeKind
  /** The error's code, or its name where it has none. */
  readonly error: string | undefined
  /** Number of this attempt, in the record of an attempt. */
  readonly attempt?: number
  /** How many attempts were made, in the record of a call. */
  readonly attempts?: number
  /** From the start to the end of the body. */
  readonly durationMs: number
  /** From the last permit to the response head. */
  readonly headMs: number | undefined
  /** Spent in queues. */
  readonly queuedMs: number
  /** Spent in backoffs; in the record of an attempt, the one before it. */
  readonly backoffMs: number
  readonly protocol: string | undefined
  readonly trace_id: string | undefined
  readonly span_id: string | undefined
  /** Set where nobody read the body to its end. */
  readonly bodyUnread?: true
  /** What policies noted, such as `circuit.state`. */
  readonly notes?: Readonly<Record<string, string | number | boolean>>
}

/** Options of {@link logging}. */
export interface LoggingOptions {
  /**
   * Where records go.
   * @default one line of JSON a record on standard error, from level info
   */
  readonly logger?: Logger
  /**
   * Milliseconds after which the record of a call whose body nobody reads is written; `false`: not before it ends.
   * @default 30_000
   */
  readonly unreadBodyTimeout?: number | false
}

/** Defaults of {@link logging}. */
export const loggingDefaults = { unreadBodyTimeout } as const

function line(level: string): (record: object, message: string) => void {
  return (record, msg) => {
    process.stderr.write(`${JSON.stringify({ level, time: new Date().toISOString(), ...record, msg })}\n`)
  }
}

const standardError: Logger = {
  debug: line('debug'),
  info: line('info'),
  warn: line('warn'),
  error: line('error'),
  isLevelEnabled: (level) => level !== 'debug',
}

function levelOf(kind: OutcomeKind): 'info' | 'warn' {
  return kind === 'success' || kind === 'clientError' || kind === 'cancelled' ? 'info' : 'warn'
}

function nameOf(error: unknown): string | undefined {
  if (error === undefined) return undefined
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  if (typeof code === 'string') return code
  return typeof name === 'string' ? name : String(error)
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 100) / 100
}

function recordOf(scope: CallScope, outcome: Outcome, own: Partial<CallRecord>): CallRecord {
  const { exchange } = scope
  return {
    method: exchange.method,
    url: redactedUrl(scope.origin, exchange),
    status: outcome.status,
    outcome: outcome.kind,
    error: nameOf(outcome.error),
    ...own,
    durationMs: rounded(performance.now() - scope.beganAt),
    headMs: outcome.headMs === undefined ? undefined : rounded(outcome.headMs),
    queuedMs: rounded(scope.queuedMs),
    backoffMs: rounded(scope === exchange ? exchange.backoffMs : scope.backoffBefore),
    protocol: scope.protocol,
    trace_id: scope.traceId ?? exchange.traceId,
    span_id: scope.spanId ?? exchange.spanId,
    ...(scope.bodyUnread ? { bodyUnread: true } : null),
    ...(scope.notes === null ? null : { notes: Object.fromEntries(scope.notes) }),
  }
}

/** One object for all calls: whatever a record tells is on the scope. */
class Logging implements Stage, Permit, AttemptObserver {
  readonly name = 'logging'
  readonly unreadBodyTimeout: number
  readonly #logger: Logger

  constructor(logger: Logger, unread: number) {
    this.#logger = logger
    this.unreadBodyTimeout = unread
  }

  acquire(scope: CallScope): Permit | null {
    const { exchange } = scope
    if (this.#writes('debug')) exchange.addObserver(this)
    return this.#writes('info') || this.#writes('warn') ? this : null
  }

  begin(_attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    return opts
  }

  end(attempt: CallScope): void {
    if (attempt.outcome !== null) this.#logAttempt(attempt, attempt.outcome, attempt.number)
  }

  settle(outcome: Outcome, scope: CallScope): void {
    const { exchange } = scope
    const alone = exchange.attempts === 0 && scope.startedAt !== 0
    // Where nobody makes attempts, the call was one.
    if (alone && this.#writes('debug')) this.#logAttempt(scope, outcome, 1)
    const level = levelOf(outcome.kind)
    if (!this.#writes(level)) return
    const record = recordOf(scope, outcome, { attempts: alone ? 1 : exchange.attempts })
    this.#write(
      level,
      exchange,
      record,
      `${record.method} ${record.url} ${record.status ?? record.error ?? record.outcome}`,
    )
  }

  #logAttempt(scope: CallScope, outcome: Outcome, attempt: number): void {
    this.#write(
      'debug',
      scope.exchange,
      recordOf(scope, outcome, { attempt }),
      `${scope.exchange.method} attempt ${attempt}`,
    )
  }

  #writes(level: 'debug' | 'info' | 'warn'): boolean {
    const logger = this.#logger
    return logger.isLevelEnabled === undefined || logger.isLevelEnabled(level)
  }

  // A connection's callbacks run in the context of whoever opened it; a logger may read the caller's.
  #write(level: 'debug' | 'info' | 'warn', exchange: Exchange, record: CallRecord, message: string): void {
    exchange.context.runInAsyncScope(this.#logger[level], this.#logger, record, message)
  }
}

/**
 * Writes one record a call when it is over, and at debug level one an attempt: method, redacted URL, status, outcome,
 * attempts, durations, waits, protocol, trace and span. Never headers or bodies. Place it below `tracing()`, above
 * `retry()`.
 *
 * @throws TypeError for a logger that lacks a method.
 */
export function logging(options: LoggingOptions = {}): Layer {
  checkOptions('logging', options, ['logger', ...Object.keys(loggingDefaults)])
  const { logger = standardError } = options
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    checkFunction(`logging: logger.${level}`, (logger as Partial<Logger> | null)?.[level])
  }
  const stage = new Logging(logger, checkUnreadBodyTimeout('logging', options.unreadBodyTimeout))
  return stageLayer({ name: 'logging', stages: [stage] })
}
