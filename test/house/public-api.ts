/** The checked-in list of public names; `npm run api` writes it. */
export const apiListFile = 'test/house/public-api.txt'

/** What users import, and the module behind it. */
export const entries: ReadonlyMap<string, string> = new Map([
  ['roundtripper', 'src/index.ts'],
  ['roundtripper/tracing', 'src/tracing/start.ts'],
  ['roundtripper/redis', 'src/redis/redis-store.ts'],
  ['roundtripper/config', 'src/config/index.ts'],
  ['roundtripper/testing', 'src/testing/index.ts'],
])

/** A name a module exports; `value` is false for what exists only as a type. */
export interface ExportedName {
  readonly name: string
  readonly value: boolean
}

const declaration =
  /^export (?:declare |abstract |async )*(function\*?|class|const|let|interface|type|enum) (?<name>[\w$]+)/gm
const list = /^export (?<type>type )?\{(?<names>[^}]*)\}/gm
const namespace = /^export \* as (?<name>[\w$]+)/gm
const star = /^export \*(?! as )/m

/** The exported names of a module, in order. Throws on `export *`, which hides what is public. */
export function exportsOf(file: string, source: string): ExportedName[] {
  const code = source.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  if (star.test(code)) throw new Error(`${file} exports *: name each public name`)
  const found = new Map<string, boolean>()
  for (const match of code.matchAll(declaration)) {
    const value = match[1] !== 'interface' && match[1] !== 'type'
    const name = match.groups!.name!
    found.set(name, value || found.get(name) === true)
  }
  for (const match of code.matchAll(namespace)) found.set(match.groups!.name!, true)
  for (const match of code.matchAll(list)) {
    for (const item of match.groups!.names!.split(',').map((text) => text.trim())) {
      if (item === '') continue
      const type = match.groups!.type !== undefined || item.startsWith('type ')
      found.set(item.split(' ').at(-1)!, !type)
    }
  }
  return [...found].map(([name, value]) => ({ name, value })).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The list of public names as it should stand in the file. */
export function publicApi(read: (path: string) => string): string {
  const parts = [...entries].map(([specifier, file]) => {
    const names = exportsOf(file, read(file)).map(({ name, value }) => (value ? name : `type ${name}`))
    return `# ${specifier}\n${names.join('\n')}\n`
  })
  return parts.join('\n')
}
