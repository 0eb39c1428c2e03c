import type { Host } from './host.ts'
import { type PickedCall, type Picker, withWeight } from './picker.ts'

// One host's place in the turns. Its calls are laid out on a line of virtual time, each 1/weight long: the next one must
// not begin before `begin`, and is to be over by `end`.
class Turn {
  readonly host: Host
  readonly weight: number
  readonly order: number
  /** Where its first call begins, and how many it has had since. */
  private from: number
  private taken = 0
  begin = 0
  end = 0
  /** Which of the two its heap goes by. */
  key = 0

  constructor(host: Host, from: number, order: number) {
    this.host = host
    this.weight = host.weight
    this.order = order
    this.from = from
    this.lay()
  }

  // Counted from the beginning each time: a sum of fractions would drift, and a round would not come out even.
  take(): void {
    this.taken++
    this.lay()
  }

  moveForward(by: number): void {
    this.from -= by
    this.lay()
  }

  private lay(): void {
    this.begin = this.from + this.taken / this.weight
    this.end = this.from + (this.taken + 1) / this.weight
  }
}

class Heap {
  private readonly items: Turn[] = []

  get first(): Turn | undefined {
    return this.items[0]
  }

  push(turn: Turn, key: number): void {
    const { items } = this
    let at = items.length
    turn.key = key
    items.push(turn)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = items[above] as Turn
      if (!isBefore(turn, parent)) break
      items[at] = parent
      at = above
    }
    items[at] = turn
  }

  shift(): Turn | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop() as Turn
    const { length } = items
    if (length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= length) break
      let child = items[below] as Turn
      if (below + 1 < length) {
        const right = items[below + 1] as Turn
        if (isBefore(right, child)) {
          child = right
          below++
        }
      }
      if (!isBefore(child, last)) break
      items[at] = child
      at = below
    }
    items[at] = last
    return first
  }
}

function isBefore(one: Turn, other: Turn): boolean {
  return one.key < other.key || (one.key === other.key && one.order < other.order)
}

/**
 * Each host in its turn, as often as its weight says and as evenly as can be: of the hosts that are not ahead of their
 * share, the one whose call has to be over first. After any number of calls each host is less than one away from its
 * share, and after a round (the sum of whole weights) exactly there; nginx's smooth round robin is as even, but looks at
 * every host for each call. Two heaps: O(log n).
 *
 * Source: R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980), and the same rule as WF2Q: J. Bennett
 * and H. Zhang, INFOCOM 1996.
 */
export class WeightedRoundRobin implements Picker {
  private readonly random: () => number
  private turns = new Map<Host, Turn>()
  /** Those that may have the next call, and those that are ahead of their share. */
  private due = new Heap()
  private ahead = new Heap()
  private total = 0
  private calls = 0

  constructor(random: () => number) {
    this.random = random
  }

  update(given: readonly Host[]): void {
    const hosts = withWeight(given)
    const { turns: known } = this
    const isSame = hosts.length === known.size && hosts.every((host) => known.get(host)?.weight === host.weight)
    if (isSame) return
    // Whoever is new begins here, as if it had had its share: it has nothing to catch up. The others keep what they are
    // ahead or behind, in calls.
    const now = this.total === 0 ? 0 : this.calls / this.total
    // Not always the first of the list: of a thousand processes that start, each would call that one first.
    const first = known.size === 0 ? Math.floor(this.random() * hosts.length) : 0
    this.turns = new Map()
    this.due = new Heap()
    this.ahead = new Heap()
    this.total = 0
    this.calls = 0
    for (let at = 0; at < hosts.length; at++) {
      const host = hosts[(first + at) % hosts.length] as Host
      const before = known.get(host)
      const from = before === undefined ? 0 : ((before.begin - now) * before.weight) / host.weight
      const turn = new Turn(host, from, at)
      this.turns.set(host, turn)
      this.ahead.push(turn, turn.begin)
      this.total += turn.weight
    }
  }

  pick(call: PickedCall): Host | null {
    if (call.isAgain) {
      const host = this.pickAgain(call)
      if (host !== null) return host
    }
    const { due, ahead } = this
    const now = this.calls / this.total
    for (let next = ahead.first; next !== undefined && next.begin <= now; next = ahead.first) {
      ahead.shift()
      due.push(next, next.end)
    }
    const turn = due.shift() ?? ahead.shift()
    if (turn === undefined) return null
    this.calls++
    turn.take()
    ahead.push(turn, turn.begin)
    return turn.host
  }

  // A call that is sent again is shared out among those it has not tried, and is nothing to the others: they must not have
  // to make up for it, or a host that fails would get the more first attempts, the more are sent again to others.
  private pickAgain(call: PickedCall): Host | null {
    const now = this.calls / this.total
    let total = 0
    let found: Turn | null = null
    for (const turn of this.turns.values()) {
      if (call.hasTried(turn.host)) continue
      total += turn.weight
      if (found === null || isSooner(turn, found, now)) found = turn
    }
    if (found === null) return null
    found.take()
    this.due = new Heap()
    this.ahead = new Heap()
    for (const turn of this.turns.values()) {
      if (!call.hasTried(turn.host)) turn.moveForward(1 / total)
      this.ahead.push(turn, turn.begin)
    }
    return found.host
  }
}

function isSooner(one: Turn, other: Turn, now: number): boolean {
  if (one.begin > now || other.begin > now) return one.begin < other.begin
  return one.end < other.end
}
