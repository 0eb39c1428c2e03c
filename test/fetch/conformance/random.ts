import fc from 'fast-check'
import type { Transport } from './case.ts'
import { caseOf, plans } from './plans.ts'
import { compareCase, withServers } from './runner.ts'

// Of a call that hangs every smaller one may hang as well: it is told as it is after this time.
const longestMs = 50_000

export interface RandomOptions {
  readonly transport: Transport
  readonly runs: number
  readonly seed: number
}

/** Draws calls, and compares what becomes of them. Throws with the smallest one that differs. Resolves with how many were compared. */
export function compareAtRandom({ transport, runs, seed }: RandomOptions): Promise<number> {
  return withServers(transport, async (servers) => {
    let compared = 0
    const property = fc.asyncProperty(plans, async (plan) => {
      const one = caseOf(plan, transport)
      fc.pre(one !== undefined)
      for (const { subject, unlike } of await compareCase(one!, servers)) {
        compared++
        if (unlike.length > 0) throw new Error(`${subject.name}: ${JSON.stringify(unlike, null, 2)}`)
      }
    })
    await fc.assert(property, {
      numRuns: runs,
      seed,
      maxSkipsPerRun: 1_000,
      interruptAfterTimeLimit: longestMs + runs * 50,
    })
    return compared
  })
}
