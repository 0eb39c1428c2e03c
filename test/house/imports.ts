import { posix } from 'node:path'

/** What a package.json says about the packages that src/ may import. */
export interface Packages {
  /** Names in `dependencies` and `peerDependencies`: what a user's machine has. */
  readonly declared: readonly string[]
  /** The peers a user may leave out. */
  readonly optional: readonly string[]
}

interface Room {
  /** Folders (with a slash at the end) and files of src/ that it may import besides itself. */
  readonly uses: readonly string[]
  /** Packages it must not know. */
  readonly never: RegExp
}

const nothing = /^(?!)/
const openTelemetry = /^@opentelemetry\//

// Who may import whom: docs/architecture.md gives the reasons. The first room whose name fits a file is its own.
const rooms: ReadonlyMap<string, Room> = new Map([
  ['src/policies/', { uses: [], never: /^(undici|@opentelemetry\/.*)$/ }],
  ['src/http2/', { uses: ['src/policies/'], never: openTelemetry }],
  ['src/context/', { uses: ['src/policies/'], never: /^(undici|@opentelemetry\/.*)$/ }],
  ['src/dispatchers/', { uses: ['src/policies/', 'src/context/', 'src/http2/'], never: openTelemetry }],
  ['src/tracing/', { uses: ['src/policies/', 'src/context/', 'src/dispatchers/'], never: nothing }],
  ['src/standard.ts', { uses: ['src/policies/', 'src/dispatchers/', 'src/tracing/'], never: openTelemetry }],
  [
    'src/fetch/',
    { uses: ['src/policies/', 'src/http2/', 'src/dispatchers/', 'src/standard.ts'], never: openTelemetry },
  ],
  [
    'src/config/',
    {
      uses: ['src/policies/', 'src/dispatchers/', 'src/context/', 'src/tracing/', 'src/standard.ts', 'src/fetch/'],
      never: openTelemetry,
    },
  ],
  ['src/redis/', { uses: ['src/policies/'], never: openTelemetry }],
  ['src/testing/', { uses: ['src/policies/options.ts'], never: openTelemetry }],
  ['src/index.ts', { uses: ['src/'], never: nothing }],
])

const entry = 'src/index.ts'
const sdkStart = 'src/tracing/start.ts'

/** The specifiers of every import and re-export of a module, types and dynamic imports included. */
export function importsOf(source: string): string[] {
  const code = source.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  const statements = code.matchAll(/^(?:import|export)\s+(?:[\w$*\s{},]+?\sfrom\s+)?(['"])(?<name>[^'"\n]+)\1/gm)
  const expressions = code.matchAll(/\bimport\(\s*(['"])(?<name>[^'"$\n]+)\1/g)
  return [...statements, ...expressions].map((match) => match.groups!.name!)
}

function isIn(place: string, file: string): boolean {
  return place.endsWith('/') ? file.startsWith(place) : file === place
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** One line for each import that the house does not allow. `sources` holds the modules of src/ by path. */
export function findBreaches(sources: ReadonlyMap<string, string>, packages: Packages): string[] {
  const breaches: string[] = []
  for (const [file, source] of sources) {
    const found = [...rooms].find(([place]) => isIn(place, file))
    if (found === undefined) {
      breaches.push(`${file} lies in none of ${[...rooms.keys()].join(', ')}`)
      continue
    }
    const [place, room] = found
    for (const specifier of importsOf(source)) {
      const why = specifier.startsWith('.')
        ? whyNotOwn(place, room, posix.join(posix.dirname(file), specifier))
        : whyNotPackage(place, room, specifier, packages)
      if (why !== undefined) breaches.push(`${file} imports ${specifier}: ${why}`)
    }
  }
  return [...breaches, ...findHeavyImports(sources, packages)]
}

function whyNotOwn(place: string, room: Room, target: string): string | undefined {
  if ([place, ...room.uses].some((allowed) => isIn(allowed, target))) return undefined
  const allowed = room.uses.length === 0 ? 'nothing of ours' : `only ${room.uses.join(', ')}`
  return `${place} may import ${allowed}`
}

function whyNotPackage(place: string, room: Room, specifier: string, packages: Packages): string | undefined {
  if (specifier.startsWith('node:')) return undefined
  const name = packageOf(specifier)
  if (room.never.test(name)) return `${place} must not know ${name}`
  if (!packages.declared.includes(name)) return `${name} is no dependency or peer dependency of the package`
  return undefined
}

// Importing the kit must work without the optional packages, and must never load the OpenTelemetry SDK.
function findHeavyImports(sources: ReadonlyMap<string, string>, packages: Packages): string[] {
  const breaches: string[] = []
  const ways = new Map([[entry, entry]])
  for (const [file, way] of ways) {
    for (const specifier of importsOf(sources.get(file) ?? '')) {
      if (packages.optional.includes(packageOf(specifier))) {
        breaches.push(`${way} imports ${specifier}: importing the kit must not need an optional package`)
      }
      const target = posix.join(posix.dirname(file), specifier)
      if (!specifier.startsWith('.') || ways.has(target)) continue
      const longer = `${way} > ${target}`
      if (target === sdkStart) breaches.push(`${longer}: importing the kit must not lead to the SDK`)
      else ways.set(target, longer)
    }
  }
  return breaches
}
