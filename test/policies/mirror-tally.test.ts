import { describe, expect, it } from 'vitest'
import { areAlike, MirrorTally } from '../../src/policies/mirror-tally.ts'
import type { OutcomeKind } from '../../src/policies/outcome.ts'
import { kinds } from './fixtures.ts'

const ofServers: readonly OutcomeKind[] = [
  'success',
  'clientError',
  'throttled',
  'serverError',
  'networkError',
  'timeout',
]

describe('a call and its copy', () => {
  it('are compared where both tell of a server', () => {
    for (const original of kinds) {
      for (const copy of kinds) {
        const tells = ofServers.includes(original) && ofServers.includes(copy)
        expect(areAlike(original, copy), `${original}, ${copy}`).toBe(tells ? original === copy : undefined)
      }
    }
  })

  it('are counted as the same, as different, or not at all', () => {
    const tally = new MirrorTally()
    for (const alike of [true, false, undefined, true]) tally.compare(alike)
    expect(tally).toMatchObject({ same: 2, different: 1 })
  })
})
