// Every layer with each of undici's own, inside and around it, over one version of HTTP.
import type { Layer } from 'roundtripper'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { adapted, foreigners, withoutKind } from './foreign.ts'
import { type Ground, openGround, type Version, versions } from './ground.ts'
import { layerKinds } from './layers.ts'
import { Noise } from './noise.ts'
import { Probe } from './probe.ts'
import { scenarios } from './scenarios.ts'
import { type Assembly, assemblies, playRow } from './table.ts'

const none: string[] = []

// Under undici's own compose a foreign layer lies beneath one edge, not between two; that is the same for all layers.
const tellsMost = new Set(['retry', 'bulkhead', 'standard'])

/** The tests of all layers with all of undici's. */
export function testNeighbours(version: Version): void {
  const { title } = versions.find((one) => one.version === version)!
  let ground: Ground
  let noise: Noise
  beforeAll(async () => {
    ground = await openGround(version, { secure: false })
    noise = new Noise()
  })
  afterAll(async () => {
    await ground.close()
    noise[Symbol.dispose]()
  })

  for (const foreign of foreigners) {
    const inner = adapted(scenarios, foreign.adapt)
    // What the kit has no edge below, it cannot mend.
    const lowest = inner.filter(({ path }) => !path.startsWith('/odd/'))
    const outer = adapted(scenarios, foreign.adaptAround ?? foreign.adapt).map(withoutKind)
    for (const kind of layerKinds) {
      it(`45, 47, 48: ${kind.name} over undici's ${foreign.name}, and inside it (${title})`, async () => {
        const probe = new Probe()
        const inside: Assembly = (transport, layers) => assemblies.chained(transport, [...layers, foreign.make()])
        const beneath: Assembly = (transport, layers) =>
          assemblies['in agent.compose'](transport, [...layers, foreign.make()])
        const around: Assembly = (transport, layers) =>
          assemblies['in agent.compose'](transport, [foreign.make(), probe.layer as Layer, ...layers])
        const rows = await Promise.all([
          playRow(ground, noise, [kind], inside, inner),
          playRow(ground, noise, [kind], around, outer),
          tellsMost.has(kind.name) ? playRow(ground, noise, [kind], beneath, lowest) : null,
        ])
        ground.clear()
        const [insideRow, aroundRow, beneathRow = none] = rows.map((row) => row?.mistakes)
        expect({ inside: insideRow, around: aroundRow, beneath: beneathRow, seen: probe.mistakes }).toEqual({
          inside: none,
          around: none,
          beneath: none,
          seen: none,
        })
        expect(probe.count).toBeGreaterThanOrEqual(outer.length / 2)
      })
    }
  }
}
