import { contextFields } from '../context/request-context.ts'
import { checkFunction, checkOptions } from '../policies/options.ts'
import { kindOfStatus, type Outcome, type OutcomeKind } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import type { AttemptObserver } from './attempt-observer.ts'
import { checkUnreadBodyTimeout } from './bulkhead.ts'
import type { Stage } from './call-plan.ts'
import { effectiveOptions } from './describe.ts'
import type { CallScope, Exchange, ScopedOptions } from './exchange.ts'
import { stageLayer } from './guard.ts'
import { redactedUrl } from './redact.ts'
import type { Layer } from './relay.ts'
import { unreadBodyTimeout } from './unread-body.ts'

/** What `logging` needs of a logger: pino, and whatever takes `(object, message)` as pino does. */
export interface Logger {
  debug(record: object, message: string): void
  info(record: object, message: string): void
  warn(record: object, message: string): void
  /** Where there is one, records below the level are not even made. */
  isLevelEnabled?(level: string): boolean
}

/**
 * One record a call (`attempt` absent), and at debug level one an attempt. Times are milliseconds. A call that failed, or
 * ended with 429 or 5xx, is told at level warn, every other one at info.
 */
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
  /** The host that `balance()` chose, where it did. */
  readonly host?: string
  /** The name of the route that `route()` took, where it has one. */
  readonly route?: string
  readonly trace_id: string | undefined
  readonly span_id: string | undefined
  /** Of the context that the call was made in; see `runWithContext`. */
  readonly requestId?: string
  /** Of that context, where it has one. */
  readonly tenant?: string
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
  isLevelEnabled: (level) => level !== 'debug',
}

function levelOf({ kind, status }: Outcome): 'info' | 'warn' {
  // Who does not want the rest of an error page has still had an error.
  const judged = kind === 'cancelled' && status !== undefined ? kindOfStatus(status) : kind
  return judged === 'success' || judged === 'clientError' || judged === 'cancelled' ? 'info' : 'warn'
}

function nameOf(error: unknown): string | undefined {
  if (error === undefined) return undefined
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  if (typeof code === 'string') return code
  return typeof name === 'string' ? name : typeof error
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
    ...(scope.host === undefined ? null : { host: scope.host }),
    ...(exchange.route === undefined ? null : { route: exchange.route }),
    ...exchange.context.runInAsyncScope(contextFields),
    ...(scope.bodyUnread ? { bodyUnread: true } : null),
    ...(scope.notes === null ? null : { notes: Object.fromEntries(scope.notes) }),
  }
}

type Level = 'debug' | 'info' | 'warn'

// A logger that throws would otherwise warn with every record.
const warned = new WeakSet<Logger>()

function warnOnce(logger: Logger, error: unknown): void {
  if (warned.has(logger)) return
  warned.add(logger)
  process.emitWarning(`The logger given to logging() threw, and its records may be missing: ${error}`, {
    type: 'RoundtripperWarning',
    code: 'ROUNDTRIPPER_LOGGER',
  })
}

function messageOf({ method, url, attempt, status, error, outcome }: CallRecord): string {
  return `${method} ${url}${attempt === undefined ? '' : ` attempt ${attempt}`} ${status ?? error ?? outcome}`
}

/** One object for all calls: whatever a record tells is on the scope. */
class Logging implements Stage, Permit, AttemptObserver {
  readonly name = 'logging'
  readonly unreadBodyTimeout: number
  readonly #logger: Logger
  // Attempts that need no record any more: it is written, or that of a fork of theirs tells the same.
  readonly #told = new WeakSet<CallScope>()

  constructor(logger: Logger, unread: number) {
    this.#logger = logger
    this.unreadBodyTimeout = unread
  }

  acquire(scope: CallScope): Permit | null {
    if (scope.number === 0 && this.#writes('debug')) scope.exchange.addObserver(this)
    return this.#writes('info') || this.#writes('warn') ? this : null
  }

  begin(_attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    return opts
  }

  goOn(_attempt: CallScope, outer: CallScope): void {
    this.#told.add(outer)
  }

  end(attempt: CallScope): void {
    if (attempt.outcome === null || this.#told.has(attempt)) return
    this.#told.add(attempt)
    this.#write('debug', attempt, attempt.outcome, { attempt: attempt.number })
  }

  settle(outcome: Outcome, scope: CallScope): void {
    const { exchange } = scope
    const level = levelOf(outcome)
    if (scope.number !== 0) {
      // Inside a retry what is seen is an attempt. A hop of the call is the call.
      if (this.#writes(level)) this.#write(level, scope, outcome, { attempt: scope.number })
      return
    }
    // Where nobody makes attempts, the call was one.
    const alone = exchange.attempts === 0 && scope.startedAt !== 0
    if (this.#writes('debug')) {
      if (alone) this.#write('debug', scope, outcome, { attempt: 1 })
      else if (scope.bodyUnread) this.#tellUnread(exchange, outcome)
    }
    if (this.#writes(level)) this.#write(level, scope, outcome, { attempts: alone ? 1 : exchange.attempts })
  }

  // An attempt whose body nobody reads may never be over.
  #tellUnread(exchange: Exchange, outcome: Outcome): void {
    const attempt = exchange.decisive
    if (attempt === exchange || this.#told.has(attempt)) return
    this.#told.add(attempt)
    this.#write('debug', attempt, outcome, { attempt: attempt.number, bodyUnread: true })
  }

  #writes(level: Level): boolean {
    const logger = this.#logger
    try {
      return logger.isLevelEnabled === undefined || logger.isLevelEnabled(level)
    } catch (error) {
      warnOnce(logger, error)
      return true
    }
  }

  #write(level: Level, scope: CallScope, outcome: Outcome, own: Partial<CallRecord>): void {
    const logger = this.#logger
    try {
      const record = recordOf(scope, outcome, own)
      // A connection's callbacks run in the context of whoever opened it; a logger may read the caller's.
      scope.exchange.context.runInAsyncScope(logger[level], logger, record, messageOf(record))
    } catch (error) {
      warnOnce(logger, error)
    }
  }
}

/** Throws a `TypeError` for a logger that lacks a method. */
export function checkLogger(owner: string, logger: unknown): void {
  for (const level of ['debug', 'info', 'warn'] as const) {
    checkFunction(`${owner}: logger.${level}`, (logger as Partial<Logger> | null)?.[level])
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
  checkLogger('logging', logger)
  const stage = new Logging(logger, checkUnreadBodyTimeout('logging', options.unreadBodyTimeout))
  return stageLayer({
    name: 'logging',
    options: () => effectiveOptions({ ...loggingDefaults, logger: 'standard error' }, options),
    stages: [stage],
  })
}
