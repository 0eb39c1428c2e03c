import { Host, type HostSpec, speaksFor } from './host.ts'
import type { Outcome } from './outcome.ts'
import type { OutlierEjection } from './outlier-ejection.ts'
import type { PickedCall, Picker } from './picker.ts'

/** How a group behaves. */
export interface GroupSettings {
  readonly picker: Picker
  readonly ejection: OutlierEjection | null
  /** The share of hosts that must be able to take calls; below it all take them. */
  readonly panicThreshold: number
  /** Milliseconds in which a new host comes to its full share; 0: at once. */
  readonly slowStart: number
}

// Of its share, what a new host has at first; and in how many steps it grows.
const coldest = 0.1
const warmUpSteps = 20

/**
 * Hosts that serve the same calls: who they are, how each of them stands, and which of them is next. Knows no clock and
 * no timer: what time has changed is worked out when somebody asks.
 */
export class HostGroup {
  hosts: readonly Host[] = []
  private settings: GroupSettings
  private readonly byOrigin = new Map<string, Host>()
  // Those that have gone, but are not done with: back again soon, they are who they were.
  private readonly gone = new Map<string, Host>()
  private probing: readonly Host[] = []
  /** When something changes by time alone. */
  private changesAt = Number.POSITIVE_INFINITY
  /** All take calls, however they stand, since too few stand well. */
  isPanicking = false

  constructor(settings: GroupSettings) {
    this.settings = settings
  }

  update(settings: GroupSettings, now: number): void {
    this.settings = settings
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
      if (host.inFlight > 0 || now < host.ejectedUntil) this.gone.set(origin, host)
    }
    this.hosts = [...this.byOrigin.values()]
    this.refresh(now)
  }

  /** What a health check has found. */
  setHealthy(host: Host, isHealthy: boolean, now: number): void {
    if (host.isHealthy === isHealthy) return
    host.isHealthy = isHealthy
    if (!isHealthy && host.standing !== 'ejected') host.standing = 'unhealthy'
    else if (host.standing === 'unhealthy') this.admit(host, now)
    this.refresh(now)
  }

  /** The host for a call; `null`: there is none. */
  pick(call: PickedCall, now: number): Host | null {
    if (now >= this.changesAt) this.refresh(now)
    const { probing } = this
    for (let at = 0; at < probing.length; at++) {
      const host = probing[at] as Host
      if (now < host.probeUntil || call.hasTried(host)) continue
      host.probeUntil = now + (this.settings.ejection?.timeOf(host) ?? 0)
      return host
    }
    return this.settings.picker.pick(call)
  }

  /** A call is sent to a host. */
  began(host: Host): void {
    host.inFlight++
    host.calls++
  }

  /** What became of a call to a host is known: its head, or that none comes. */
  answered(host: Host, { kind }: Outcome, now: number): void {
    const isGood = speaksFor(kind)
    if (isGood === null) {
      // A probe that says nothing: the next call is one.
      host.probeUntil = 0
      return
    }
    if (!isGood) host.failures++
    const { ejection } = this.settings
    if (ejection === null) return
    const isBad = ejection.judges(host, isGood)
    if (host.standing === 'probing') {
      if (isGood) this.admit(host, now)
      else this.eject(host, now, ejection)
      this.refresh(now)
    } else if (isBad && host.standing === 'in' && this.mayEject(ejection)) {
      this.eject(host, now, ejection)
      this.refresh(now)
    }
  }

  /** A call to a host has come to its end. */
  ended(host: Host): void {
    host.inFlight--
  }

  private mayEject(ejection: OutlierEjection): boolean {
    const out = this.hosts.filter(({ standing }) => standing === 'ejected' || standing === 'probing').length
    return out < ejection.most(this.hosts.length)
  }

  private eject(host: Host, now: number, ejection: OutlierEjection): void {
    host.standing = 'ejected'
    host.ejections++
    host.consecutiveFailures = 0
    host.ejectedUntil = now + ejection.timeOf(host)
  }

  private admit(host: Host, now: number): void {
    host.standing = 'in'
    host.probeUntil = 0
    this.warmUp(host, now)
  }

  private warmUp(host: Host, now: number): void {
    if (this.settings.slowStart > 0) host.warmSince = now
  }

  // Works out what time has changed, and who may be picked now.
  private refresh(now: number): void {
    const { slowStart, panicThreshold, picker } = this.settings
    let changesAt = Number.POSITIVE_INFINITY
    const probing: Host[] = []
    const able: Host[] = []
    for (const host of this.hosts) {
      if (host.standing === 'ejected') {
        if (now < host.ejectedUntil) changesAt = Math.min(changesAt, host.ejectedUntil)
        else host.standing = host.isHealthy ? 'probing' : 'unhealthy'
      }
      const warm = slowStart === 0 ? 1 : (now - host.warmSince) / slowStart
      host.warmth = Math.min(1, Math.max(coldest, warm))
      if (host.warmth < 1) changesAt = Math.min(changesAt, now + slowStart / warmUpSteps)
      if (host.standing === 'probing') probing.push(host)
      else if (host.standing === 'in') able.push(host)
    }
    this.probing = probing
    this.changesAt = changesAt
    this.isPanicking = able.length < this.hosts.length * panicThreshold
    picker.update(this.isPanicking ? this.hosts : able)
  }
}
