import { delegatedCalls } from '../../../src/fetch/delegated.ts'
import type { Area } from './case.ts'
import { observe, way, withServers } from './runner.ts'
import { subjects } from './subjects.ts'

/** Cases that are sent and of which a call is handed on all the same. */
const handedOnToo: readonly { readonly cases: RegExp; readonly reason: string }[] = [
  {
    cases: /sent twice with its body|a stream used for two calls|one signal for many calls, at different moments/,
    reason: 'its last call ends in an error before anything is sent',
  },
]

/**
 * Runs every case once more, one after the other, and gives the names of those that were handed on to undici's fetch though
 * something was sent. Only what says so, or is listed above, may be.
 */
export function wronglyDelegated(areas: readonly Area[]): Promise<string[]> {
  return withServers('h1c', async (servers) => {
    const wrong: string[] = []
    for (const { name, cases } of areas) {
      for (const one of cases) {
        if (one.only === 'h2' || one.delegates) continue
        const before = delegatedCalls()
        const { requests } = await observe(one, way(servers, subjects[0]))
        const full = `${name} / ${one.name}`
        const isWrong = delegatedCalls() > before && requests.length > 0
        if (isWrong && !handedOnToo.some(({ cases: known }) => known.test(full))) wrong.push(full)
      }
    }
    return wrong
  })
}
