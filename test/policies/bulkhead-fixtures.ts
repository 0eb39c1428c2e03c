import type { Bulkhead } from '../../src/policies/bulkhead.ts'
import type { Permit, Waiting } from '../../src/policies/policy.ts'
import { outcome, scope } from './fixtures.ts'

export const origin = 'https://a.test'
export const call = scope(origin)
export const critical = scope(origin, {}, 0)
export const sheddable = scope(origin, {}, 2)
export const byPriority = [critical, call, sheddable]
export const done = outcome('success')

export const isPermit = (got: Permit | Waiting): got is Permit => 'settle' in got

export function admitted(bulkhead: Bulkhead): Permit {
  const got = bulkhead.acquire(call)
  if (!isPermit(got)) throw new Error('had to wait')
  return got
}

export function waiting(bulkhead: Bulkhead, as = call): Waiting {
  const got = bulkhead.acquire(as)
  if (isPermit(got)) throw new Error('was admitted')
  return got
}

/** Waits, and notes what came of it. */
export function follow(
  bulkhead: Bulkhead,
  name: string,
  log: string[],
  as = call,
): { place: Waiting; permit: Permit | null } {
  const followed: { place: Waiting; permit: Permit | null } = { place: waiting(bulkhead, as), permit: null }
  followed.place.then(
    (permit) => {
      followed.permit = permit
      log.push(`${name} granted`)
    },
    (error) => log.push(`${name} refused: ${(error as Error).message}`),
  )
  return followed
}
