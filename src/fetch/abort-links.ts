import { throwLater } from '../policies/throw-later.ts'

/** What gives up when a signal says so. */
export interface Abortable {
  giveUp(reason: unknown): void
}

// One listener per signal, whatever the number of its calls: a listener costs more than all the rest of an abort link,
// and a signal of many calls would warn of a leak.
const linked = new WeakMap<AbortSignal, Abortable | Set<Abortable>>()

function onAbort(this: AbortSignal): void {
  const calls = linked.get(this)
  linked.delete(this)
  if (calls === undefined) return
  if (calls instanceof Set) for (const call of calls) giveUp(call, this.reason)
  else giveUp(calls, this.reason)
}

// A foreign layer that throws when it is told must not keep the others from being told.
function giveUp(call: Abortable, reason: unknown): void {
  try {
    call.giveUp(reason)
  } catch (error) {
    throwLater(error)
  }
}

const once = { once: true }

/** Has `call` give up with the signal; until {@link unlink}. */
export function link(signal: AbortSignal, call: Abortable): void {
  const calls = linked.get(signal)
  if (calls === undefined) {
    signal.addEventListener('abort', onAbort, once)
    linked.set(signal, call)
  } else if (calls instanceof Set) {
    calls.add(call)
  } else {
    linked.set(signal, new Set([calls, call]))
  }
}

export function unlink(signal: AbortSignal, call: Abortable): void {
  const calls = linked.get(signal)
  if (calls instanceof Set) {
    calls.delete(call)
    if (calls.size > 0) return
  } else if (calls !== call) {
    return
  }
  linked.delete(signal)
  signal.removeEventListener('abort', onAbort)
}
