import type { Env } from './env.ts'

/** How the server of a run is spoken to: HTTP/1.1 in cleartext, HTTP/1.1 over TLS, HTTP/2 over TLS. */
export type Transport = 'h1c' | 'h1' | 'h2'

export const transports: readonly Transport[] = ['h1c', 'h1', 'h2']

/** Any fetch. Of no narrower type, because cases give it what no type allows. */
export type Fetch = (input?: unknown, init?: unknown) => Promise<Response>

/** One thing that a fetch does. Run with each fetch in surroundings of its own; what it returns must be the same. */
export interface Case {
  readonly name: string
  /** Only over HTTP/1.1, such as what needs a raw socket, or only over HTTP/2. */
  readonly only?: 'h1' | 'h2'
  /** May be handed on to undici's fetch though it is answered. */
  readonly delegates?: boolean
  /** A retrying chain sends it again, so that the server sees more, or it ends otherwise. */
  readonly retried?: boolean
  /** Resolves with what was observed, of values that JSON can hold; what the server saw is added. */
  run(fetch: Fetch, env: Env): Promise<unknown>
}

/** The cases of one file. */
export interface Area {
  readonly name: string
  readonly cases: readonly Case[]
}

/** Puts an area together, and refuses two cases of one name. */
export function area(name: string, ...groups: (readonly Case[])[]): Area {
  const cases = groups.flat()
  const seen = new Set<string>()
  for (const one of cases) {
    if (seen.has(one.name)) throw new Error(`${name}: two cases are called '${one.name}'`)
    seen.add(one.name)
  }
  return { name, cases }
}

/** A case for each entry of a table. */
export function each<T>(
  prefix: string,
  table: Readonly<Record<string, T>>,
  run: (value: T, fetch: Fetch, env: Env) => Promise<unknown>,
  more: Omit<Case, 'name' | 'run'> = {},
): Case[] {
  return Object.entries(table).map(([name, value]) => ({
    ...more,
    name: `${prefix}: ${name}`,
    run: (fetch, env) => run(value, fetch, env),
  }))
}
