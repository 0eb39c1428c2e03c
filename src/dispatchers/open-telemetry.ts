// The key under which every copy of the OpenTelemetry API keeps what an SDK registered. Looked at directly, because it
// is what tells "no SDK" in nanoseconds; a call then pays nothing else.
const registered = Symbol.for('opentelemetry.js.api.1')

/** What an SDK registers: that which makes spans, and that which writes them into headers. */
export type Registration = 'trace' | 'propagation'

// Even that look-up costs as much as an empty layer, so "no" holds for a millisecond of the calls' own clock.
const absentUntil: Record<Registration, number> = { trace: 0, propagation: 0 }

/** Whether an SDK has registered something. */
export function hasRegistered(part: Registration, now: number): boolean {
  if (now < absentUntil[part]) return false
  const all = (globalThis as { [registered]?: { readonly [part in Registration]?: unknown } })[registered]
  if (all?.[part] !== undefined) return true
  absentUntil[part] = now + 1
  return false
}

/** Until when what an SDK has not registered is taken as absent. */
export function absenceOf(part: Registration): number {
  return absentUntil[part]
}
