// Hosts, calls and a small group of servers that are all alike, for tests of how a host is chosen.
import { checkHosts, Host } from '../../src/policies/host.ts'
import type { PickedCall, Picker } from '../../src/policies/picker.ts'
import { type SeededRandom, seededRandom } from '../../src/testing/index.ts'

/** Hosts with these weights. */
export function hostsOf(weights: readonly number[], prefix = 'host'): Host[] {
  const given = weights.map((weight, at) => ({ origin: `http://${prefix}-${at}.test`, weight }))
  return checkHosts('hosts', given).map((spec) => new Host(spec))
}

/** A call; to `tried` it was sent before. */
export function callOf(key?: string, tried: readonly Host[] = []): PickedCall {
  return { key, isAgain: tried.length > 0, hasTried: (host) => tried.includes(host) }
}

/** A call that belongs to no key, and was never sent. */
export const plainCall = callOf()

/** How often each host is picked. */
export function sharesOf(picked: readonly (Host | null)[], hosts: readonly Host[]): number[] {
  const counts = new Map<Host | null, number>()
  for (const host of picked) counts.set(host, (counts.get(host) ?? 0) + 1)
  return hosts.map((host) => (counts.get(host) ?? 0) / picked.length)
}

interface Flight {
  readonly host: Host
  readonly beganAt: number
  readonly endsAt: number
}

/** What becomes of the calls to a host: how long they take, and whether they fail. */
export type Answer = (host: Host, random: SeededRandom) => { readonly took: number; readonly failed?: boolean }

/**
 * Makes so many calls, `inFlight` of them at a time: with each that ends another one begins. Gives the hosts they went to.
 */
export function drive(
  picker: Picker,
  calls: number,
  inFlight: number,
  answer: Answer,
  { seed = 1, keyOf = (number: number): string | undefined => `key ${number}` } = {},
): (Host | null)[] {
  const random = seededRandom(seed)
  const flights: Flight[] = []
  const picked: (Host | null)[] = []
  const failed = new Set<Flight>()
  let now = 1_000
  for (let number = 0; number < calls; number++) {
    if (flights.length === inFlight) {
      let first = 0
      for (let at = 1; at < flights.length; at++) {
        if ((flights[at] as Flight).endsAt < (flights[first] as Flight).endsAt) first = at
      }
      const [flight] = flights.splice(first, 1) as [Flight]
      now = flight.endsAt
      flight.host.unanswered--
      flight.host.heardAt = now
      picker.answered?.(flight.host, failed.has(flight) ? 'serverError' : 'success', now - flight.beganAt, now)
      flight.host.inFlight--
      picker.ended?.(flight.host)
    }
    const host = picker.pick(callOf(keyOf(number)), now)
    picked.push(host)
    if (host === null) continue
    host.inFlight++
    if (host.unanswered++ === 0) host.heardAt = now
    picker.began?.(host)
    const { took, failed: fails = false } = answer(host, random)
    const flight = { host, beganAt: now, endsAt: now + took }
    if (fails) failed.add(flight)
    flights.push(flight)
  }
  return picked
}
