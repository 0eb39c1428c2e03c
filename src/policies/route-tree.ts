import { type RankedRule, RouteGroup, type RouteQuery } from './route-group.ts'
import { hashOf, type PathCut } from './route-path.ts'

/** A segment of text, and what comes after it. */
interface Literal {
  readonly text: string
  readonly node: Node
  /** Another text with the same hash. */
  readonly next: Literal | null
}

/** Routes with a pattern that only a regular expression decides. */
interface Tested {
  readonly regexp: RegExp
  readonly group: RouteGroup
}

/** What is known of the paths that begin alike, up to some segment. */
class Node {
  /** The lowest rank here and below: whoever has found a lower one need not look. */
  best = Number.POSITIVE_INFINITY
  /** By hash; `null` where there is at most one. */
  literals: Map<number, Literal> | null = null
  /** The only one, once the tree is sealed. */
  literal: Literal | null = null
  any: Node | null = null
  end: RouteGroup | null = null
  rest: RouteGroup | null = null
  readonly tested: Tested[] = []
}

/** The routes of one host, by the segments of their paths. */
export class RouteTree {
  depth = 0
  private readonly root = new Node()

  /** Adds rules in any order; afterwards {@link seal} makes the tree ready. */
  add(rule: RankedRule): void {
    const { segments, tail } = rule.path
    let node = this.root
    node.best = Math.min(node.best, rule.rank)
    for (const text of segments) {
      node = text === null ? anyOf(node) : literalOf(node, text)
      node.best = Math.min(node.best, rule.rank)
    }
    this.depth = Math.max(this.depth, segments.length)
    groupOf(node, tail).add(rule)
  }

  seal(): void {
    seal(this.root)
  }

  /** Notes in `query` the first in rank of the rules that fit, unless it knows one before it. */
  find(cut: PathCut, query: RouteQuery): void {
    look(this.root, 0, cut, query)
  }
}

function anyOf(node: Node): Node {
  node.any ??= new Node()
  return node.any
}

function literalOf(node: Node, text: string): Node {
  const hash = hashOf(text)
  node.literals ??= new Map()
  const known = node.literals.get(hash) ?? null
  for (let literal = known; literal !== null; literal = literal.next) if (literal.text === text) return literal.node
  const made = new Node()
  node.literals.set(hash, { text, node: made, next: known })
  return made
}

function groupOf(node: Node, tail: RankedRule['path']['tail']): RouteGroup {
  if (tail === 'end' || tail === 'rest') {
    const group = node[tail] ?? new RouteGroup()
    node[tail] = group
    return group
  }
  const known = node.tested.find(({ regexp }) => regexp.source === tail.source)
  if (known !== undefined) return known.group
  const group = new RouteGroup()
  node.tested.push({ regexp: tail, group })
  return group
}

function seal(node: Node): void {
  node.end?.seal()
  node.rest?.seal()
  for (const { group } of node.tested) group.seal()
  node.tested.sort((one, other) => one.group.best - other.group.best)
  if (node.any !== null) seal(node.any)
  if (node.literals === null) return
  for (const first of node.literals.values()) {
    for (let literal: Literal | null = first; literal !== null; literal = literal.next) seal(literal.node)
  }
  // Most nodes have one, and a map for each is more than a cache holds.
  if (node.literals.size > 1) return
  node.literal = [...node.literals.values()][0] ?? null
  node.literals = null
}

function look(node: Node, at: number, cut: PathCut, query: RouteQuery): void {
  if (node.best >= query.best) return
  if (at < cut.count) {
    const found = literalAt(node, at, cut)
    if (found !== null) look(found, at + 1, cut, query)
    if (node.any !== null && cut.ends[at] !== cut.starts[at]) look(node.any, at + 1, cut, query)
    if (node.rest !== null) node.rest.find(query)
  } else if (node.end !== null) {
    node.end.find(query)
  }
  for (let next = 0; next < node.tested.length; next++) {
    const { regexp, group } = node.tested[next] as Tested
    if (group.best >= query.best) return
    if (regexp.test(cut.whole)) group.find(query)
  }
}

function literalAt(node: Node, at: number, cut: PathCut): Node | null {
  const start = cut.starts[at] as number
  const length = (cut.ends[at] as number) - start
  let literal = node.literals === null ? node.literal : (node.literals.get(cut.hashes[at] as number) ?? null)
  while (literal !== null) {
    if (literal.text.length === length && cut.path.startsWith(literal.text, start)) return literal.node
    literal = literal.next
  }
  return null
}
