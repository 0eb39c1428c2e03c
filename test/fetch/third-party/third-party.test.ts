import { describe, it } from 'vitest'
import { cases } from './cases.ts'
import { play, protocols, ways } from './world.ts'

describe.each(protocols)('over %s', (protocol) => {
  describe.each(ways)('by %s', (way) => {
    it.each(cases)('$name', (taken) => play(taken, protocol, way))
  })
})
