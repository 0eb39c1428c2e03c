import { Dispatcher } from 'undici'
import { show } from '../policies/options.ts'
import type { Hide } from './explain.ts'
import { listed, nearest } from './nearest.ts'
import type { Path } from './path.ts'
import type { Problems } from './problems.ts'

/** An upstream that a layer of another one sends calls to: its chain is made later. */
class Referred extends Dispatcher {
  chain: Dispatcher | null = null

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return (this.chain as Dispatcher).dispatch(opts, handler)
  }
}

interface Reference {
  readonly from: string
  readonly to: string
  /** Where it stands. */
  readonly path: Path
}

type Edges = Map<string, Set<string>>

function note(edges: Edges, one: string, other: string): void {
  edges.set(one, (edges.get(one) ?? new Set()).add(other))
}

/** Names, each after all those that lead to it; without what a circle holds, or leads to. */
function inOrder(names: readonly string[], leads: Edges, isLedTo: Edges): string[] {
  const open = new Map(names.map((name) => [name, isLedTo.get(name)?.size ?? 0]))
  const order = names.filter((name) => open.get(name) === 0)
  for (const name of order) {
    for (const next of leads.get(name) ?? []) {
      const left = (open.get(next) ?? 0) - 1
      open.set(next, left)
      if (left === 0) order.push(next)
    }
  }
  return order
}

/** Which upstreams send calls on to which others. */
export class References {
  private readonly found: Reference[] = []
  private readonly referred = new Map<string, Referred>()
  private readonly targets: Edges = new Map()
  private readonly users: Edges = new Map()

  /** What a layer of `from` is given for a target: an origin, or the upstream of that name. */
  target(given: string, from: string, path: Path): string | Dispatcher {
    if (given.includes('://')) return given
    this.found.push({ from, to: given, path })
    note(this.targets, from, given)
    note(this.users, given, from)
    const known = this.referred.get(given) ?? new Referred()
    this.referred.set(given, known)
    return known
  }

  /** Notes names that no upstream has, and ways that lead back to where they began. */
  check(upstreams: readonly string[], hide: Hide, problems: Problems): void {
    const known = new Set(upstreams)
    // What is left stands on a circle, or between two of them.
    const straight = new Set([...this.inOrder(upstreams), ...inOrder(upstreams, this.users, this.targets)])
    for (const { from, to, path } of this.found) {
      if (!known.has(to)) {
        // What is there, but no upstream at all, has been told.
        if (problems.has(['upstreams', to])) continue
        const meant = nearest(to, upstreams)
        const message = `must be an http(s) origin or one of the upstreams ${listed(upstreams)}, got ${show(to)}`
        problems.add(path, meant === undefined ? hide(message, path) : `${hide(message, path)}; did you mean ${meant}?`)
      } else if (!straight.has(from) && !straight.has(to)) {
        problems.add(path, `leads back to ${from}, where the call comes from`)
      }
    }
  }

  /** Upstreams, each after all those that send calls to it. */
  inOrder(upstreams: readonly string[]): string[] {
    return inOrder(upstreams, this.targets, this.users)
  }

  /** Gives all layers the chains they asked for. */
  connect(chains: ReadonlyMap<string, Dispatcher>): void {
    for (const [name, referred] of this.referred) referred.chain = chains.get(name) as Dispatcher
  }

  /** Those who send calls to an upstream. */
  usersOf(name: string): readonly string[] {
    return [...(this.users.get(name) ?? [])]
  }
}
