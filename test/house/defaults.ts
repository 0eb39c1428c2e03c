import { standardDefaults, standardHedgingDefaults } from '../../src/standard.ts'

/** The page with the table of defaults; `npm run api` writes it. */
export const defaultsPage = 'docs/standard.md'

const begin = '<!-- defaults -->'
const end = '<!-- /defaults -->'

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ')
  if (typeof value === 'object' && value !== null)
    return rows('', value)
      .map(([name, text]) => `${name} ${text}`)
      .join('; ')
  return typeof value === 'number' ? String(value).replace(/\B(?=(\d{3})+$)/g, ' ') : String(value)
}

/** Every default of a part as a row of its own. */
function rows(part: string, defaults: object): [name: string, value: string][] {
  return Object.entries(defaults)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [part === '' ? name : `${part}.${name}`, shown(value)])
}

function flat(defaults: object): Map<string, string> {
  return new Map(
    Object.entries(defaults).flatMap(([part, value]) =>
      typeof value === 'object' && value !== null ? rows(part, value) : [[part, shown(value)] as [string, string]],
    ),
  )
}

/** One table for both ready-made chains, from the constants. */
export function defaultsTable(): string {
  const [one, other] = [flat(standardDefaults), flat(standardHedgingDefaults)]
  const names = [...new Set([...one.keys(), ...other.keys()])]
  const lines = names.map((name) => `| \`${name}\` | ${one.get(name) ?? '–'} | ${other.get(name) ?? '–'} |`)
  return ['| default | `standard()` | `standardHedging()` |', '|---|---|---|', ...lines].join('\n')
}

/** The page with its table as it is to be. */
export function withDefaults(page: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${defaultsPage} has no ${begin} ... ${end}`)
  return `${page.slice(0, from + begin.length)}\n\n${defaultsTable()}\n\n${page.slice(to)}`
}
