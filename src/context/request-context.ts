import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { checkNumber, checkOptions, show } from '../policies/options.ts'
import { type Priority, priorities } from '../policies/policy.ts'
import { type Baggage, checkBaggage, isCheckedBaggage } from './baggage.ts'
import { readTraceparent, readTracestate } from './trace-headers.ts'

/** What may be said of the request that calls are made for; see {@link runWithContext}. */
export interface RequestContextFields {
  /**
   * Names the request in logs: 1 to 128 letters, digits and `_ . ~ : = / + @ -`.
   * @default that of the context around it, or else a new UUID
   */
  readonly requestId?: string | undefined
  /** W3C `traceparent` of version 00. @default that of the context around it */
  readonly traceparent?: string | undefined
  /** W3C `tracestate`, which belongs to the `traceparent`. @default that of the context around it, unless `traceparent` is given */
  readonly tracestate?: string | undefined
  /** W3C baggage: texts by key, in the place of those of the context around it. @default those of the context around it */
  readonly baggage?: Baggage | undefined
  /**
   * Milliseconds from now until the request's time is up. It can only become shorter than that of the context around it.
   * @default that of the context around it, or none
   */
  readonly deadline?: number | undefined
  /** How much the calls matter. @default that of the context around it */
  readonly priority?: Priority | undefined
  /** Whose request it is, written as the `requestId` is. @default that of the context around it */
  readonly tenant?: string | undefined
}

const fieldNames = ['requestId', 'traceparent', 'tracestate', 'baggage', 'deadline', 'priority', 'tenant'] as const

/** What is known of the request that calls are made for. All of it is checked, and none of it can be changed. */
export class RequestContext {
  readonly requestId: string
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
  /** Decoded; `undefined` where there is none. */
  readonly baggage: Baggage | undefined
  /** When its time is up, in milliseconds of `performance.now()`; `Infinity` without a deadline. */
  readonly deadlineAt: number
  readonly priority: Priority | undefined
  readonly tenant: string | undefined

  /** @internal `fields` are checked already. */
  constructor(fields: Omit<RequestContextFields, 'deadline'>, deadlineAt: number) {
    this.requestId = fields.requestId ?? randomUUID()
    this.traceparent = fields.traceparent
    this.tracestate = fields.traceparent === undefined ? undefined : fields.tracestate
    this.baggage = fields.baggage
    this.deadlineAt = deadlineAt
    this.priority = fields.priority
    this.tenant = fields.tenant
    // What goes out as a header has been checked once, and stays it.
    Object.freeze(this)
  }

  /** Milliseconds until its time is up: 0 when it is, `Infinity` without a deadline. */
  get remaining(): number {
    return Math.max(0, this.deadlineAt - performance.now())
  }
}

const name = /^[\w.~:=/+@-]{1,128}$/

/** Whether a text may be a request id or a tenant. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && name.test(value)
}

/** Whether a text is a priority. */
export function isPriority(value: unknown): value is Priority {
  return priorities.includes(value as Priority)
}

function checkText<T extends string>(
  option: string,
  value: T | undefined,
  read: (value: string) => T | undefined,
  expected: string,
): T | undefined {
  if (value === undefined) return undefined
  const found = typeof value === 'string' ? read(value) : undefined
  if (found === undefined) throw new TypeError(`runWithContext: ${option} must be ${expected}, got ${show(value)}`)
  return found
}

const named = (value: string) => (isName(value) ? value : undefined)
const prioritised = (value: string) => (isPriority(value) ? value : undefined)
const aName = '1 to 128 letters, digits and any of _ . ~ : = / + @ -'

function checkTrace(given: RequestContextFields, outer: RequestContext | undefined) {
  const own = checkText('traceparent', given.traceparent, readTraceparent, 'a traceparent of W3C Trace Context')
  const ownState = checkText('tracestate', given.tracestate, readTracestate, 'a tracestate of W3C Trace Context')
  const traceparent = own ?? outer?.traceparent
  if (ownState !== undefined && traceparent === undefined) {
    throw new TypeError('runWithContext: a tracestate belongs to a traceparent, and there is none')
  }
  // What the vendors wrote belongs to the parent they wrote it for.
  return { traceparent, tracestate: ownState ?? (own === undefined ? outer?.tracestate : undefined) }
}

function checkedBaggage(given: Baggage | undefined, outer: RequestContext | undefined): Baggage | undefined {
  if (given === undefined) return outer?.baggage
  return isCheckedBaggage(given) ? given : checkBaggage('runWithContext: baggage', given)
}

function contextWith(given: RequestContextFields, outer: RequestContext | undefined): RequestContext {
  checkOptions('runWithContext', given, fieldNames)
  const { deadline } = given
  let deadlineAt = outer?.deadlineAt ?? Number.POSITIVE_INFINITY
  if (deadline !== undefined) {
    checkNumber('runWithContext: deadline', deadline, { min: 0 })
    deadlineAt = Math.min(deadlineAt, performance.now() + deadline)
  }
  const fields = {
    requestId: checkText('requestId', given.requestId, named, aName) ?? outer?.requestId,
    ...checkTrace(given, outer),
    baggage: checkedBaggage(given.baggage, outer),
    priority:
      checkText('priority', given.priority, prioritised, `one of ${priorities.map(show).join(', ')}`) ??
      outer?.priority,
    tenant: checkText('tenant', given.tenant, named, aName) ?? outer?.tenant,
  }
  return new RequestContext(fields, deadlineAt)
}

/** A context while something runs in it. */
export class RunningContext {
  readonly context: RequestContext
  /** What whoever sent it last has made of it; whose it is, that one knows. A context is sent more than once. */
  written: object | null = null

  constructor(context: RequestContext) {
    this.context = context
  }
}

const storage = new AsyncLocalStorage<RunningContext>()

/** For layers that send it; see {@link currentContext}. */
export function runningContext(): RunningContext | undefined {
  return storage.getStore()
}

/**
 * Runs `fn`, and all that it begins, in the context of a request: calls made there go out under its deadline and
 * priority, and with `contextHeaders()` they carry it along; records of `logging()` name it.
 *
 * Fields complete the context around them: what is not given is that one's, and a deadline only becomes shorter. A whole
 * `RequestContext`, from `contextOf()` or `currentContext()`, takes its place.
 *
 * @returns what `fn` returns
 * @throws TypeError, RangeError for fields that no header could carry, and for unknown ones.
 */
export function runWithContext<Args extends unknown[], Result>(
  context: RequestContextFields | RequestContext,
  fn: (...args: Args) => Result,
  ...args: Args
): Result {
  const made = context instanceof RequestContext ? context : contextWith(context, storage.getStore()?.context)
  return storage.run(new RunningContext(made), fn, ...args)
}

/** Runs what is done for several requests, and so for none of them, outside of any context. */
export function runWithoutContext<Result>(fn: () => Result): Result {
  return storage.exit(fn)
}

/** The context of the request that is being served here, or `undefined` outside of one. */
export function currentContext(): RequestContext | undefined {
  return storage.getStore()?.context
}

/**
 * `requestId` and `tenant` (if there) of the current context, for the records of a logger: `pino({ mixin: contextFields })`.
 * Outside of a context it has no fields.
 */
export function contextFields(): { requestId?: string; tenant?: string } {
  const context = currentContext()
  if (context === undefined) return {}
  const { requestId, tenant } = context
  return tenant === undefined ? { requestId } : { requestId, tenant }
}
