import type { Route } from '../dispatchers/route.ts'
import { show } from '../policies/options.ts'
import { conflictsOf, inOrder } from '../policies/route-order.ts'
import { checkTable, type RouteRule } from '../policies/route-rule.ts'
import type { Hide } from './explain.ts'
import { listed, nearest } from './nearest.ts'
import type { Path } from './path.ts'
import { asRecord } from './plain-data.ts'
import type { Problems } from './problems.ts'

/** A route of a configuration; `to` is the name of an upstream. */
export interface PlannedRoute extends RouteRule {
  readonly to: string
}

const nothing = () => null

/** Each option by itself, so that each has a path of its own. */
function checkOptionsOf(path: Path, { to: _, ...rule }: Partial<PlannedRoute>, hide: Hide, problems: Problems): void {
  for (const [option, value] of Object.entries(rule)) {
    if (problems.isWithin([...path, option])) continue
    try {
      checkTable('route', [{ [option]: value, to: null }], nothing)
    } catch (error) {
      const { message } = error as Error
      problems.add([...path, option], hide(message.replace(`route: routes[0].${option} `, ''), [...path, option]))
    }
  }
}

function checkTarget(path: Path, to: string, upstreams: readonly string[], hide: Hide, problems: Problems): void {
  if (upstreams.includes(to) || problems.has(['upstreams']) || problems.has(['upstreams', to])) return
  const meant = nearest(to, upstreams)
  const known = upstreams.length === 0 ? 'of which there is none' : listed(upstreams)
  const message = `must be the name of an upstream, ${known}, got ${show(to)}`
  const told = hide(message, [...path, 'to'])
  problems.add([...path, 'to'], meant === undefined ? told : `${told}; did you mean ${meant}?`)
}

function checkNames(routes: readonly Partial<PlannedRoute>[], problems: Problems): void {
  const names = new Map<string, number>()
  for (const [index, { name }] of routes.entries()) {
    const first = name === undefined ? undefined : names.get(name)
    if (first !== undefined) problems.add(['routes', index, 'name'], `must be its own: routes[${first}] has it, too`)
    else if (name !== undefined) names.set(name, index)
  }
}

function checkConflicts(routes: readonly PlannedRoute[], problems: Problems): void {
  const { rules } = checkTable('route', routes, nothing)
  for (const { one, other } of conflictsOf(inOrder(rules))) {
    const [first, second] = [Math.min(one.index, other.index), Math.max(one.index, other.index)]
    problems.add(
      ['routes', second],
      `fits the same calls as routes[${first}], and none is more literal: give one of them a higher priority, or a condition that the other does not fit`,
    )
  }
}

function canBeCalled(name: string): boolean {
  try {
    checkTable('route', [{ host: name, to: null }], nothing)
    return URL.parse(`http://${name}`)?.hostname === name
  } catch {
    // A URL may hold what is no host of a route.
    return false
  }
}

/** Whether calls can name each upstream in their URL; `isRouted`: they need not. */
export function checkUpstreamNames(names: readonly string[], isRouted: boolean, problems: Problems): void {
  for (const name of names) {
    if (!canBeCalled(name)) problems.add(['upstreams', name], 'must be called what can be the host of a URL')
  }
  if (isRouted) return
  const fit = names.filter((name) => !problems.has(['upstreams', name]))
  const { rules } = checkTable(
    'route',
    fit.map((host) => ({ host, to: null })),
    nothing,
  )
  for (const { one, other } of conflictsOf(inOrder(rules))) {
    const [first, second] = [Math.min(one.index, other.index), Math.max(one.index, other.index)]
    problems.add(
      ['upstreams', fit[second] as string],
      `must be called otherwise: as hosts of a URL it and ${fit[first]} are the same`,
    )
  }
}

/** Looks the routes of a configuration over. */
export function checkRoutes(
  given: readonly unknown[],
  upstreams: readonly string[],
  hide: Hide,
  problems: Problems,
): void {
  const routes = given.map((one) => asRecord(one) as Partial<PlannedRoute>)
  for (const [index, route] of routes.entries()) {
    const path = ['routes', index]
    checkOptionsOf(path, route, hide, problems)
    if (typeof route.to === 'string') checkTarget(path, route.to, upstreams, hide, problems)
  }
  checkNames(routes, problems)
  if (!problems.isWithin(['routes'])) checkConflicts(given as readonly PlannedRoute[], problems)
}

/** The routes of a configuration; where it names none, each upstream has the calls to its name. */
export function routesTo<To extends Route['to']>(
  given: readonly PlannedRoute[] | undefined,
  targets: ReadonlyMap<string, To>,
): Route[] {
  if (given !== undefined) return given.map((route) => ({ ...route, to: targets.get(route.to) as To }))
  return [...targets].map(([name, to]) => ({ name, host: name, to }))
}
