import { headerOfBaggage } from '../context/baggage.ts'
import {
  type ContextField,
  type ContextHeaderNames,
  checkFields,
  checkHeaderNames,
  contextFieldNames,
  contextHeaderNames,
  wholeTimeout,
  writeTimeout,
} from '../context/headers.ts'
import { type RequestContext, type RunningContext, runningContext } from '../context/request-context.ts'
import { laneUntil } from '../policies/clock.ts'
import { DeadlineExceededError } from '../policies/errors.ts'
import { checkOptions } from '../policies/options.ts'
import { type Permit, priorities } from '../policies/policy.ts'
import { type AllowedOrigins, checkAllowedOrigins } from './allowed-origins.ts'
import { rankOf } from './call-options.ts'
import type { PreparingStage, Stage } from './call-plan.ts'
import { type Carried, type CarriedRule, carriedBy, carryOn } from './carried.ts'
import { effectiveOptions } from './describe.ts'
import type { CallScope, Exchange, ScopedOptions } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { GuardedCall } from './guarded-call.ts'
import { eachHeader, replaceHeaders } from './headers.ts'
import { hasRegistered } from './open-telemetry.ts'
import { originOf } from './origin-of.ts'
import type { Layer } from './relay.ts'
import { RunningDeadline } from './running-deadline.ts'

/** Options of {@link contextHeaders}. */
export interface ContextHeadersOptions {
  /**
   * Where the context may be sent: origins, `https://*.example.com` for all hosts below a name, or a function that says of
   * an origin whether it is one of them. No other origin gets any of it.
   */
  readonly origins: AllowedOrigins
  /**
   * What is sent of it.
   * @default all there is
   */
  readonly fields?: readonly ContextField[] | undefined
  /**
   * Names of the headers.
   * @default contextHeaderNames
   */
  readonly names?: Partial<ContextHeaderNames> | undefined
}

/** Defaults of {@link contextHeaders}. */
export const contextHeadersDefaults = { fields: contextFieldNames, names: contextHeaderNames } as const

/** The running time of the request that a call is made for. */
class ContextDeadline extends RunningDeadline {
  private readonly milliseconds: number

  constructor(call: GuardedCall, deadlineAt: number) {
    // In the lane of the fused call whose place it may take.
    const milliseconds = deadlineAt - call.scope.exchange.beganAt
    const timers = laneUntil(milliseconds)
    super(call, timers, deadlineAt - timers.duration)
    this.milliseconds = milliseconds
  }

  protected override get duration(): number {
    return this.milliseconds
  }
}

type Headers = Record<string, string>

const noNames: ReadonlySet<string> = new Set()

/** The headers of a request by their names in lower case. */
function namesIn(headers: ScopedOptions['headers']): ReadonlySet<string> {
  const names = new Set<string>()
  eachHeader(headers, (name) => names.add(name.toLowerCase()))
  return names
}

/** A context as one layer writes it, but for the time that is left: that is another one each time. */
class WrittenContext {
  readonly by: ContextHeaders
  readonly headers: Headers
  /** All that may be added, in lower case. */
  readonly names: readonly string[]
  /** It has no trace, because an SDK writes that. */
  readonly isLeftToSdk: boolean

  constructor(by: ContextHeaders, headers: Headers, names: readonly string[], isLeftToSdk: boolean) {
    this.by = by
    this.headers = headers
    this.names = names
    this.isLeftToSdk = isLeftToSdk
  }
}

/** What was put into one request. */
class CarriedContext implements Carried {
  readonly rule: CarriedRule
  readonly names: readonly string[]
  readonly before: Carried | null
  /** All headers of the request. */
  readonly headers: NonNullable<ScopedOptions['headers']>
  readonly timeHeader: string | null
  readonly timeout: number

  constructor(
    rule: CarriedRule,
    names: readonly string[],
    before: Carried | null,
    headers: NonNullable<ScopedOptions['headers']>,
    timeHeader: string | null,
    timeout: number,
  ) {
    this.rule = rule
    this.names = names
    this.before = before
    this.headers = headers
    this.timeHeader = timeHeader
    this.timeout = timeout
  }
}

function prioritize(exchange: Exchange, { resilience }: ScopedOptions, { priority }: RequestContext): void {
  if (priority !== undefined && resilience?.priority === undefined) exchange.priority = rankOf(priority)
}

/** What a context's time adds to that of a call. */
function bound(deadlineAt: number, call: GuardedCall): Permit | null {
  const { exchange } = call.scope
  // The call has a clock that is earlier. The same time is what an attempt before this one has noted, with a clock of its own.
  if (deadlineAt === Number.POSITIVE_INFINITY || exchange.deadlineAt < deadlineAt) return null
  exchange.deadlineAt = deadlineAt
  return new ContextDeadline(call, deadlineAt)
}

class ContextHeaders implements Stage, PreparingStage {
  readonly name = 'contextHeaders'
  readonly fuses = true
  readonly preparing: PreparingStage = this
  // TypeScript's private: these are read for each call.
  private readonly rule: CarriedRule
  private readonly fields: ReadonlySet<ContextField>
  private readonly names: ContextHeaderNames
  private readonly sendsTimeout: boolean

  constructor({ origins, fields, names }: ContextHeadersOptions) {
    this.rule = checkAllowedOrigins('contextHeaders: origins', origins)
    this.fields = checkFields('contextHeaders: fields', fields, contextHeadersDefaults.fields)
    this.names = checkHeaderNames('contextHeaders: names', names)
    this.sendsTimeout = this.fields.has('deadline')
  }

  asksNothing(): boolean {
    return runningContext() === undefined
  }

  acquire(scope: CallScope, call: GuardedCall): Permit | null {
    const running = runningContext()
    if (running === undefined) return null
    const { exchange } = scope
    const { deadlineAt } = running.context
    prioritize(exchange, call.opts, running.context)
    const now = exchange.now()
    if (deadlineAt <= now) {
      throw new DeadlineExceededError(
        `The time of the request that this call is made for was up, so nothing was sent to ${scope.origin}`,
        { origin: scope.origin },
      )
    }
    const permit = bound(deadlineAt, call)
    if (!this.rule.allows(scope.origin)) return permit
    const carried = this.carry(call.opts, running, exchange.priority, exchange.deadlineAt, now)
    if (carried !== null) call.carry(carried.headers, carried)
    return permit
  }

  prepare(given: ScopedOptions, now: number, deadlineAt: number): boolean {
    const running = runningContext()
    if (running === undefined) return true
    const { context } = running
    if (context.deadlineAt <= now) return false
    if (!this.rule.allows(originOf(given))) return true
    const priority = rankOf(given.resilience?.priority ?? context.priority)
    const carried = this.carry(given, running, priority, Math.min(deadlineAt, context.deadlineAt), now)
    if (carried !== null) carryOn(given, carried.headers, carried)
    return true
  }

  dueAt(): number {
    return runningContext()?.context.deadlineAt ?? Number.POSITIVE_INFINITY
  }

  takeOver(call: GuardedCall, headSeen: boolean): Permit | null {
    const { exchange } = call.scope
    const running = exchange.context.runInAsyncScope(runningContext)
    if (running === undefined) return null
    const { context } = running
    prioritize(exchange, call.opts, context)
    if (!headSeen) return bound(context.deadlineAt, call)
    exchange.deadlineAt = Math.min(exchange.deadlineAt, context.deadlineAt)
    return null
  }

  /** The headers of a request, and what of them was added; `null`: nothing is to be added. */
  private carry(
    opts: ScopedOptions,
    running: RunningContext,
    priority: number,
    deadlineAt: number,
    now: number,
  ): CarriedContext | null {
    const { headers: given } = opts
    const written = this.writtenOf(running, now)
    const { names } = this
    const added: Headers = { ...written.headers }
    if (added[names.priority] !== undefined) added[names.priority] = priorities[priority] as string
    let carried = written.names
    let isTimed = this.sendsTimeout
    // Most calls bring no headers of their own.
    if (given !== null && given !== undefined) {
      let own: ReadonlySet<string>
      try {
        own = namesIn(given)
      } catch {
        // What is no list of headers is left as it is, for the check at the edge to explain.
        return null
      }
      carried = carried.filter((name) => !own.has(name))
      isTimed &&= !own.has(names.deadline)
      for (const name of own) delete added[name]
      // What other vendors wrote belongs to the trace that they wrote it for.
      if (own.has('traceparent')) delete added.tracestate
    }
    if (carried.length === 0) return null
    const timeout = isTimed && deadlineAt !== Number.POSITIVE_INFINITY ? wholeTimeout(deadlineAt - now) : 0
    if (timeout > 0) added[names.deadline] = writeTimeout(names.deadline, timeout)
    const headers = given === null || given === undefined ? added : replaceHeaders(given, noNames, added)
    return new CarriedContext(this.rule, carried, carriedBy(opts), headers, isTimed ? names.deadline : null, timeout)
  }

  private writtenOf(running: RunningContext, now: number): WrittenContext {
    const isLeftToSdk = hasRegistered('propagation', now)
    const known = running.written
    if (known instanceof WrittenContext && known.by === this && known.isLeftToSdk === isLeftToSdk) return known
    const headers = this.write(running.context, isLeftToSdk)
    const names = Object.keys(headers)
    if (this.sendsTimeout) names.push(this.names.deadline)
    const written = new WrittenContext(this, headers, names, isLeftToSdk)
    running.written = written
    return written
  }

  private write(context: RequestContext, isLeftToSdk: boolean): Headers {
    const { fields, names } = this
    const { requestId, traceparent, tracestate, baggage, priority, tenant } = context
    const headers: Headers = {}
    const add = (field: ContextField, name: string, value: string | undefined) => {
      if (value !== undefined && fields.has(field)) headers[name] = value
    }
    add('requestId', names.requestId, requestId)
    // An SDK writes the trace itself, as one more header where it is not tracing() that does it; two of them are none.
    if (!isLeftToSdk) {
      add('trace', 'traceparent', traceparent)
      add('trace', 'tracestate', tracestate)
    }
    if (baggage !== undefined) add('baggage', 'baggage', headerOfBaggage(baggage))
    add('priority', names.priority, priority)
    add('tenant', names.tenant, tenant)
    return headers
  }
}

/**
 * Sends the context of {@link runWithContext} along: request id, trace, baggage, remaining time, priority and tenant, as
 * headers, to the origins that are listed and to no other, redirects and fallbacks included. A header that the caller has
 * set stays as it is. To every origin, the call gets at most the time that is left to the request it is made for, and its
 * priority, where it has none of its own.
 *
 * Place it below `tracing()`, `logging()` and `deadline()`, above `retry()` and all that lets calls wait: each attempt says
 * the time that is left to it. Outside of a context it does next to nothing.
 *
 * @throws TypeError for options that are wrong, and without `origins`.
 */
export function contextHeaders(options: ContextHeadersOptions): Layer {
  checkOptions('contextHeaders', options, ['origins', 'fields', 'names'])
  return stageLayer({
    name: 'contextHeaders',
    options: () => effectiveOptions(contextHeadersDefaults, options),
    stages: [new ContextHeaders(options)],
  })
}
