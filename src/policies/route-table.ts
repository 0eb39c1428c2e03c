import type { RankedRule, ReadHeader, RouteQuery } from './route-group.ts'
import { type HostRule, matchesHost, requestHostOf } from './route-host.ts'
import { checkConflicts, inOrder } from './route-order.ts'
import { PathCut } from './route-path.ts'
import type { CheckedRule } from './route-rule.ts'
import { RouteTree } from './route-tree.ts'

interface HostTree {
  /** `null`: for every host. */
  readonly host: HostRule | null
  readonly tree: RouteTree
}

// What a Host header says comes from outside, maybe.
const mostHosts = 1024

/**
 * A table of routes: which of them takes a request. By its host the request finds the trees of those routes that are for
 * it; each is gone down by the segments of the path. What a lookup costs depends on the length of the path, and not on the
 * number of routes, but for patterns that need a regular expression: of these, the ones that begin as the path does are
 * tried in turn.
 */
export class RouteTable<Headers> implements RouteQuery {
  /** In the order in which they are asked. */
  readonly rules: readonly RankedRule[]
  // Of the lookup under way: nothing of it is made anew.
  method = ''
  best = Number.POSITIVE_INFINITY
  found: RankedRule | null = null
  private headers: Headers | null = null
  private readonly readHeader: ReadHeader<Headers>
  private readonly cut: PathCut
  private readonly hostTrees: readonly HostTree[]
  private readonly byName: ReadonlyMap<string, readonly HostTree[]>
  private readonly unnamed: readonly HostTree[]
  private readonly namesHosts: boolean
  /** Some routes ask for headers other than Host. */
  readonly readsHeaders: boolean
  private readonly byOrigin = new Map<string, readonly HostTree[]>()
  private readonly byHeader = new Map<string, readonly HostTree[]>()
  private readonly bySecureHeader = new Map<string, readonly HostTree[]>()

  /** @throws TypeError that names the routes which are as literal as one another and fit the same calls. */
  constructor(layer: string, rules: readonly CheckedRule[], readHeader: ReadHeader<Headers>) {
    const ordered = inOrder(rules)
    checkConflicts(layer, ordered)
    this.rules = ordered.map((rule, rank) => ({ ...rule, rank }))
    this.readHeader = readHeader
    const trees = new Map<string, HostTree>()
    for (const rule of this.rules) {
      const key = rule.host?.key ?? ''
      const known = trees.get(key) ?? { host: rule.host, tree: new RouteTree() }
      trees.set(key, known)
      known.tree.add(rule)
    }
    this.hostTrees = [...trees.values()]
    for (const { tree } of this.hostTrees) tree.seal()
    const byName = new Map<string, HostTree[]>()
    for (const one of this.hostTrees) {
      const name = one.host?.exact ?? null
      if (name !== null) byName.set(name, [...(byName.get(name) ?? []), one])
    }
    this.byName = byName
    this.unnamed = this.hostTrees.filter(({ host }) => host === null || host.exact === null)
    this.readsHeaders = rules.some(({ headers, contentType }) => headers.length > 0 || contentType !== null)
    this.namesHosts = this.hostTrees.some(({ host }) => host !== null)
    this.cut = new PathCut(Math.max(0, ...this.hostTrees.map(({ tree }) => tree.depth)))
  }

  /** The route that takes a request; `null`: none does. `origin` is scheme, host and port. */
  find(method: string, origin: string, path: unknown, headers: Headers): RankedRule | null {
    this.method = method
    this.headers = headers
    this.best = Number.POSITIVE_INFINITY
    this.found = null
    this.cut.read(path)
    const trees = this.namesHosts ? this.treesOf(origin) : this.hostTrees
    for (let at = 0; at < trees.length; at++) (trees[at] as HostTree).tree.find(this.cut, this)
    const { found } = this
    this.headers = null
    this.found = null
    return found
  }

  header(name: string): string | undefined {
    return this.readHeader(this.headers as Headers, name)
  }

  private treesOf(origin: string): readonly HostTree[] {
    const header = this.header('host')
    if (header === undefined) return this.byOrigin.get(origin) ?? this.note(this.byOrigin, origin, origin, undefined)
    const known = origin.startsWith('https:') ? this.bySecureHeader : this.byHeader
    return known.get(header) ?? this.note(known, header, origin, header)
  }

  private note(
    known: Map<string, readonly HostTree[]>,
    key: string,
    origin: string,
    header: string | undefined,
  ): readonly HostTree[] {
    const [protocol = '', authority = ''] = origin.split('//')
    const named = requestHostOf(protocol === 'https:' ? protocol : 'http:', header ?? authority)
    const likely = [...(this.byName.get(named?.name ?? '') ?? []), ...this.unnamed]
    const trees = likely.filter(({ host }) => host === null || (named !== null && matchesHost(host, named)))
    if (known.size >= mostHosts) known.clear()
    known.set(key, trees)
    return trees
  }
}
