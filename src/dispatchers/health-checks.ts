import type { IncomingHttpHeaders } from 'node:http'
import pLimit from 'p-limit'
import type { Dispatcher } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import type { HealthSettings } from '../policies/health-options.ts'
import type { HealthCheckResult, Host } from '../policies/host.ts'
import type { HostGroup } from '../policies/host-group.ts'
import { kindOfError } from '../policies/outcome.ts'
import { groundOf } from './ground.ts'
import { withEdge } from './guard.ts'

/** Checks stop when no call has asked for a host for so many of their intervals; the next call starts them again. */
const idleIntervals = 10

/** Bytes of an answer's body that are read, so that the connection can be used again. */
const mostBytes = 64 * 1024

/** Of the interval, by how much the next check may come earlier or later. */
const spread = 0.1

const timedOut = new Error('the health check took too long')
const enough = new Error('enough of the body has been read')
const stopped = new Error('the health checks have been stopped')

/** The checks of one host: one at a time, in a lane while it waits for the next, and while it waits for an answer. */
class HostCheck implements TimerEntry, Dispatcher.DispatchHandler {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  readonly host: Host
  private readonly checks: HealthChecks
  private timers: TimerLane | null = null
  private controller: Dispatcher.DispatchController | null = null
  private done: (() => void) | null = null
  private status: number | undefined = undefined
  private passes = false
  private bytes = 0
  /** Checks in a row that came to the same. */
  private run = 0
  private passed = true

  constructor(checks: HealthChecks, host: Host) {
    this.checks = checks
    this.host = host
  }

  /** Waits for `duration`, less `less` milliseconds of it. */
  wait(duration: number, less: number): void {
    this.timers = lane(duration)
    this.timers.add(this, performance.now() - less)
  }

  /** Makes no more checks, and gives up one that is under way. */
  stop(): void {
    const { controller } = this
    this.end()
    controller?.abort(stopped)
  }

  onTimer(): void {
    if (this.done !== null) this.giveUp(timedOut)
    else this.checks.due(this)
  }

  /** Asks the host; resolves when it has answered, or will not. */
  ask(settings: HealthSettings, dispatch: Dispatcher['dispatch']): Promise<void> {
    const { origin, spec } = this.host
    const { authority, servername } = spec
    const headers = authority === undefined ? settings.headers : { host: authority, ...settings.headers }
    const opts = { origin, path: settings.path, method: 'GET', headers } as const
    this.status = undefined
    this.passes = false
    this.bytes = 0
    this.wait(settings.timeout, 0)
    const asked = new Promise<void>((resolve) => {
      this.done = resolve
    })
    try {
      dispatch(servername === undefined ? opts : ({ ...opts, servername } as typeof opts), this)
    } catch (error) {
      this.onResponseError(null, error as Error)
    }
    return asked
  }

  private giveUp(reason: Error): void {
    const { controller } = this
    if (controller === null) this.onResponseError(null, reason)
    else controller.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
  }

  onResponseStart(_controller: unknown, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.status = status
    this.passes = this.checks.judge(status, headers)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.bytes += chunk.length
    if (this.bytes > mostBytes) controller.abort(enough)
  }

  onResponseEnd(): void {
    this.tell(this.passes, undefined)
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.done === null) return
    if (error === enough) {
      this.tell(this.passes, undefined)
      return
    }
    if (kindOfError(error) === 'closed') {
      // Nobody can call any more; or whoever can, from another chain, starts them again.
      this.checks.stop()
      return
    }
    const { code, name } = error as { code?: unknown; name: string }
    this.tell(false, error === timedOut ? 'timeout' : typeof code === 'string' ? code : name)
  }

  private tell(passed: boolean, error: string | undefined): void {
    if (this.done === null) return
    this.run = passed === this.passed ? this.run + 1 : 1
    this.passed = passed
    this.end()
    this.checks.checked(this.host, { passed, status: this.status, error, at: performance.now() }, this.run)
  }

  private end(): void {
    this.timers?.remove(this)
    const { done } = this
    this.controller = null
    this.done = null
    done?.()
  }
}

/**
 * Asks the hosts of a group how they are. The checks go straight to the dispatcher below all layers: no breaker counts them,
 * no limit holds them up, no log or trace tells of them. They run while the group is used, and hold no process.
 */
export class HealthChecks {
  isRunning = false
  private readonly settings: HealthSettings
  private readonly group: HostGroup
  private readonly random: () => number
  private readonly limit: ReturnType<typeof pLimit>
  private dispatch: Dispatcher['dispatch'] | null = null
  private readonly checks = new Map<Host, HostCheck>()

  constructor(settings: HealthSettings, group: HostGroup, random: () => number) {
    this.settings = settings
    this.group = group
    this.random = random
    this.limit = pLimit(settings.concurrency)
  }

  /** Begins to check the hosts, through what is below `inner`. */
  start(inner: Dispatcher['dispatch']): void {
    this.dispatch = withEdge(groundOf(inner))
    this.isRunning = true
    this.follow()
  }

  /** Checks the hosts that the group has now, and no others. */
  follow(): void {
    if (!this.isRunning) return
    for (const [host, check] of this.checks) {
      if (host.isListed) continue
      this.checks.delete(host)
      check.stop()
    }
    const { interval } = this.settings
    for (const host of this.group.hosts) {
      if (this.checks.has(host)) continue
      const check = new HostCheck(this, host)
      this.checks.set(host, check)
      check.wait(interval, interval * (1 - this.random()))
    }
  }

  /** Checks nobody any more, until it is started again. */
  stop(): void {
    if (!this.isRunning) return
    this.isRunning = false
    this.dispatch = null
    for (const check of this.checks.values()) check.stop()
    this.checks.clear()
  }

  /** It is time for a check. */
  due(check: HostCheck): void {
    const { interval } = this.settings
    if (performance.now() - this.group.usedAt > interval * idleIntervals) this.stop()
    else this.limit(() => this.ask(check))
  }

  private async ask(check: HostCheck): Promise<void> {
    const { dispatch, settings } = this
    if (dispatch === null || this.checks.get(check.host) !== check) return
    await check.ask(settings, dispatch)
    if (this.checks.get(check.host) !== check) return
    const { interval } = settings
    check.wait(interval, interval * spread * (2 * this.random() - 1))
  }

  judge(status: number, headers: IncomingHttpHeaders): boolean {
    try {
      return this.settings.expect(status, headers) === true
    } catch (error) {
      process.emitWarning(error as Error)
      return false
    }
  }

  /** A check of a host has ended, as `run` in a row have. */
  checked(host: Host, result: HealthCheckResult, run: number): void {
    const { healthyThreshold, unhealthyThreshold } = this.settings
    const isEnough = run >= (result.passed ? healthyThreshold : unhealthyThreshold)
    this.group.checked(host, result, isEnough ? result.passed : host.isHealthy)
  }
}
