import {
  type HealthCheckResult,
  Host,
  type HostChange,
  type HostReason,
  type HostSpec,
  type HostStanding,
  speaksFor,
} from './host.ts'
import type { Outcome } from './outcome.ts'
import type { EjectionRule, OutlierEjection } from './outlier-ejection.ts'
import type { PickedCall, Picker } from './picker.ts'
import { type SlowStartOptions, warmthAt } from './slow-start.ts'
import { throwLater } from './throw-later.ts'

/** How a group behaves. */
export interface GroupSettings {
  readonly picker: Picker
  readonly ejection: OutlierEjection | null
  /** The share of hosts that must be able to take calls; below it all take them. */
  readonly panicThreshold: number
  /** How a new host comes to its full share; `null`: at once. */
  readonly slowStart: Required<SlowStartOptions> | null
  /** Hosts are checked: one that was ejected is probed by a call only when a check has passed. */
  readonly isChecked: boolean
  readonly random: () => number
  readonly onHostChange: ((change: HostChange) => void) | undefined
}

/** What a group may know of a call. */
export interface GroupedCall extends PickedCall {
  /** It may be sent again, should a host that is probed not serve it. */
  readonly isRepeatable: boolean
}

// In how many steps it grows.
const warmUpSteps = 20

/** Milliseconds after which a probe may be a call that must not be repeated, and after which one that told nothing is replaced. */
const probePause = 1_000

/** What a call holds that decides nothing: sent in a panic to a host that takes none. */
const noEpoch = 0

/**
 * Hosts that serve the same calls: who they are, how each of them stands, and which of them is next. Knows no clock and
 * no timer: what time has changed is worked out when somebody asks.
 */
export class HostGroup {
  hosts: readonly Host[] = []
  /** When a call last asked for a host. */
  usedAt = 0
  private settings: GroupSettings
  private readonly byOrigin = new Map<string, Host>()
  // Those that have gone, but are not done with: back again soon, they are who they were.
  private readonly gone = new Map<string, Host>()
  private probing: readonly Host[] = []
  /** When something changes by time alone. */
  private changesAt = Number.POSITIVE_INFINITY
  /** When the interval under way ends, over which shares are taken; -Infinity: none has begun. */
  private intervalEnds = Number.NEGATIVE_INFINITY
  /** All take calls, however they stand, since too few stand well. */
  isPanicking = false
  /** Told when other hosts belong to it. */
  onHosts: (() => void) | null = null
  // Steps that nobody has been told of yet.
  private readonly steps: HostChange[] = []
  private isTelling = false

  constructor(settings: GroupSettings) {
    this.settings = settings
  }

  update(settings: GroupSettings, now: number): void {
    const { interval } = this.settings.ejection?.settings ?? {}
    this.settings = settings
    if (settings.ejection?.settings.interval !== interval) this.intervalEnds = Number.NEGATIVE_INFINITY
    this.comply(now)
    this.refresh(now)
  }

  /**
   * Takes over a list of hosts. What is known of those that stay is kept; calls to those that go come to their end. One
   * that comes back while such a call is still under way, or before its ejection is over, is the same host.
   */
  setHosts(specs: readonly HostSpec[], now: number): void {
    const isFirst = this.hosts.length === 0
    const kept = new Set<string>()
    for (const spec of specs) {
      kept.add(spec.origin)
      const known = this.byOrigin.get(spec.origin)
      if (known !== undefined) {
        known.spec = spec
        continue
      }
      const back = this.gone.get(spec.origin)
      const host = back ?? new Host(spec)
      host.spec = spec
      if (back === undefined && !isFirst) this.warmUp(host, now)
      this.byOrigin.set(spec.origin, host)
      this.gone.delete(spec.origin)
    }
    for (const [origin, host] of this.gone) {
      if (host.inFlight === 0 && now >= host.ejectedUntil) this.gone.delete(origin)
    }
    for (const [origin, host] of this.byOrigin) {
      if (kept.has(origin)) continue
      this.byOrigin.delete(origin)
      host.isListed = false
      if (host.inFlight > 0 || now < host.ejectedUntil) this.gone.set(origin, host)
    }
    this.hosts = [...this.byOrigin.values()]
    this.comply(now)
    this.refresh(now)
    this.onHosts?.()
  }

  /** What a health check has found; `isHealthy`: what it and those before it come to. */
  checked(host: Host, result: HealthCheckResult, isHealthy: boolean): void {
    const now = result.at
    host.lastCheck = result
    if (result.passed) host.passedAt = now
    const hasChanged = host.isHealthy !== isHealthy
    host.isHealthy = isHealthy
    if (!host.isListed) return
    if (hasChanged && !isHealthy && host.standing !== 'ejected') this.step(host, 'unhealthy', 'health')
    else if (hasChanged && host.standing === 'unhealthy') this.admit(host, now, 'health')
    // One that was ejected may have waited for this.
    if (hasChanged || host.standing === 'ejected') this.refresh(now)
  }

  /** The host for a call; `null`: there is none. */
  pick(call: GroupedCall, now: number): Host | null {
    this.usedAt = now
    if (now >= this.changesAt) this.refresh(now)
    const { probing } = this
    for (let at = 0; at < probing.length; at++) {
      const host = probing[at] as Host
      if (host.probeUntil === 0 && isDue(host, call, now) && !call.hasTried(host)) return host
    }
    return this.settings.picker.pick(call, now)
  }

  /** A call is sent to a host. Returns what {@link answered} wants: of what time of the host's it is. */
  began(host: Host, now: number): number {
    host.inFlight++
    host.calls++
    if (host.unanswered++ === 0) host.heardAt = now
    this.settings.picker.began?.(host)
    if (host.standing === 'in') return host.epoch
    const { ejection } = this.settings
    if (host.standing !== 'probing' || host.probeUntil !== 0 || ejection === null) return noEpoch
    host.probeUntil = now + ejection.settings.ejectionTime
    this.changesAt = Math.min(this.changesAt, host.probeUntil)
    return host.epoch
  }

  /** What became of a call to a host is known, `took` ms after it was sent: its head, or that none comes. */
  answered(host: Host, { kind, headMs }: Outcome, epoch: number, now: number, took = 0): void {
    host.unanswered--
    host.heardAt = now
    this.settings.picker.answered?.(host, kind, headMs ?? took, now)
    const isGood = speaksFor(kind)
    if (isGood === false) host.failures++
    // Whoever is told of what time has changed may change the settings.
    if (epoch === host.epoch && now >= this.changesAt) this.refresh(now)
    const { ejection } = this.settings
    if (epoch !== host.epoch || ejection === null || !host.isListed) return
    if (host.standing === 'probing') this.probed(host, isGood, now, ejection)
    else if (isGood !== null) this.apply(host, ejection.judge(host, isGood), now, ejection)
  }

  /** The body after a good head has come whole. */
  delivered(host: Host, epoch: number): void {
    if (epoch === host.epoch) host.brokenBodies = 0
  }

  /** The body after a good head has broken off, through no doing of the caller's. */
  broke(host: Host, epoch: number, now: number): void {
    const { ejection } = this.settings
    if (epoch !== host.epoch || host.standing !== 'in' || ejection === null || !host.isListed) return
    this.apply(host, ejection.judgeBroken(host), now, ejection)
  }

  private probed(host: Host, isGood: boolean | null, now: number, ejection: OutlierEjection): void {
    if (isGood === null) {
      // It tells nothing (a refusal of ours, the caller's abort), and maybe the next one would not either: not every call
      // is to be held up.
      host.probeUntil = 0
      host.probeFrom = now + probePause
      return
    }
    if (isGood) this.admit(host, now, 'recovered')
    else this.eject(host, now, ejection, 'probe')
    this.refresh(now)
  }

  private apply(host: Host, rule: EjectionRule | null, now: number, ejection: OutlierEjection): void {
    if (rule === null || this.outs() >= this.mostOut(ejection)) return
    this.eject(host, now, ejection, rule)
    this.refresh(now)
  }

  /** A call to a host has come to its end. */
  ended(host: Host): void {
    host.inFlight--
    this.settings.picker.ended?.(host)
  }

  private outs(): number {
    let count = 0
    for (const host of this.hosts) if (isOut(host)) count++
    return count
  }

  // Who has no weight serves nobody, and does not make room for the ejection of one who does.
  private mostOut(ejection: OutlierEjection): number {
    let serving = 0
    for (const { spec } of this.hosts) if (spec.weight > 0) serving++
    return ejection.most(serving)
  }

  // Other hosts, or other settings: no host stands as it could not stand under these.
  private comply(now: number): void {
    const { ejection, isChecked } = this.settings
    for (const host of this.hosts) {
      host.isListed = true
      if (ejection === null && isOut(host)) this.admit(host, now, 'bound')
      if (isChecked) continue
      host.isHealthy = true
      host.lastCheck = null
      if (host.standing === 'unhealthy') this.admit(host, now, 'health')
    }
    // Of a group that has become smaller more may be out than is allowed: whoever would be back first is back now.
    if (ejection === null) return
    const excess = this.outs() - this.mostOut(ejection)
    if (excess <= 0) return
    const out = this.hosts.filter(isOut).toSorted((one, other) => one.ejectedUntil - other.ejectedUntil)
    for (const host of out.slice(0, excess)) {
      if (host.isHealthy) this.admit(host, now, 'bound')
      else this.step(host, 'unhealthy', 'health')
    }
  }

  private eject(host: Host, now: number, ejection: OutlierEjection, reason: HostReason): void {
    const { random } = this.settings
    host.ejections = ejection.countAfter(host.ejections)
    host.ejectedAt = now
    host.ejectedUntil = now + ejection.timeOf(host.ejections, random())
    this.step(host, 'ejected', reason)
  }

  private admit(host: Host, now: number, reason: HostReason): void {
    host.admittedAt = now
    host.ejectedUntil = 0
    this.warmUp(host, now)
    this.step(host, 'in', reason)
  }

  private step(host: Host, to: HostStanding, reason: HostReason): void {
    const from = host.standing
    host.standing = to
    host.reason = reason
    host.epoch++
    host.probeFrom = 0
    host.probeUntil = 0
    host.consecutiveFailures = 0
    host.brokenBodies = 0
    host.intervalCalls = 0
    host.intervalFailures = 0
    if (this.settings.onHostChange === undefined) return
    const ejectedFor = to === 'ejected' ? host.ejectedUntil - host.ejectedAt : 0
    this.steps.push({ host: host.origin, from, to, reason, ejectedFor })
  }

  // When all is as it is to be: whoever is told may change the group.
  private tellSteps(): void {
    const { steps } = this
    if (steps.length === 0 || this.isTelling) return
    this.isTelling = true
    // What that leads to is told after all that came before.
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
      try {
        this.settings.onHostChange?.(step)
      } catch (error) {
        throwLater(error)
      }
    }
    this.isTelling = false
  }

  private warmUp(host: Host, now: number): void {
    if (this.settings.slowStart !== null) host.warmSince = now
  }

  // Works out what time has changed, and who may be picked now.
  private refresh(now: number): void {
    const { slowStart, panicThreshold, picker, ejection } = this.settings
    let changesAt = Number.POSITIVE_INFINITY
    if (ejection !== null) changesAt = this.turnInterval(now, ejection)
    const probing: Host[] = []
    const able: Host[] = []
    const serving: Host[] = []
    for (const host of this.hosts) {
      if (ejection !== null) changesAt = Math.min(changesAt, this.passTime(host, now, ejection))
      host.warmth = slowStart === null ? 1 : warmthAt(now - host.warmSince, slowStart)
      if (host.warmth < 1) changesAt = Math.min(changesAt, now + (slowStart?.duration ?? 0) / warmUpSteps)
      // Who has no weight takes no calls, whatever becomes of the others.
      if (host.spec.weight === 0) continue
      serving.push(host)
      if (host.standing === 'probing') probing.push(host)
      else if (host.standing === 'in') able.push(host)
    }
    this.probing = probing
    this.changesAt = changesAt
    this.isPanicking = able.length < serving.length * panicThreshold
    picker.update(this.isPanicking ? serving : able)
    this.tellSteps()
  }

  // Ejections that are over, and probes that take too long. Returns when time changes more.
  private passTime(host: Host, now: number, ejection: OutlierEjection): number {
    if (host.standing === 'probing' && host.probeUntil !== 0 && now >= host.probeUntil) {
      this.eject(host, now, ejection, 'lease')
    }
    if (host.standing === 'ejected') {
      if (now < host.ejectedUntil) return host.ejectedUntil
      if (!host.isHealthy) this.step(host, 'unhealthy', 'health')
      else if (!this.settings.isChecked || host.passedAt > host.ejectedAt) {
        this.step(host, 'probing', 'time')
        host.probeFrom = now
      }
    }
    return host.standing === 'probing' && host.probeUntil !== 0 ? host.probeUntil : Number.POSITIVE_INFINITY
  }

  // Judges the interval that is over, if it has just ended, and begins the next. Returns when that ends.
  private turnInterval(now: number, ejection: OutlierEjection): number {
    const { interval } = ejection.settings
    const { intervalEnds } = this
    if (now < intervalEnds) return intervalEnds
    // What was counted long ago says nothing of now.
    const outliers = now < intervalEnds + interval ? ejection.outliers(this.hosts.filter(isIn)) : []
    for (const { host, rule } of outliers) {
      if (host.standing !== 'in' || this.outs() >= this.mostOut(ejection)) continue
      this.eject(host, now, ejection, rule)
    }
    for (const host of this.hosts) {
      host.intervalCalls = 0
      host.intervalFailures = 0
      if (host.ejections === 0 || host.standing !== 'in') continue
      const good = Math.min(host.ejections, Math.floor((now - host.admittedAt) / interval))
      host.ejections -= good
      host.admittedAt += good * interval
    }
    this.intervalEnds = now + interval
    return this.intervalEnds
  }
}

function isIn({ standing }: Host): boolean {
  return standing === 'in'
}

function isOut({ standing }: Host): boolean {
  return standing === 'ejected' || standing === 'probing'
}

// Calls that may be repeated go first: whoever sent another one would have to live with its failure.
function isDue(host: Host, call: GroupedCall, now: number): boolean {
  if (now < host.probeFrom) return false
  return call.isRepeatable || now >= host.probeFrom + probePause
}
