// Every ordered pair of layers over one version of HTTP. Each version has a file of its own, so that they run side by side.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Ground, openGround, type Version, versions } from './ground.ts'
import { layerKinds } from './layers.ts'
import { Noise } from './noise.ts'
import { assemblies, differences, playRow } from './table.ts'

/** The tests of all pairs. */
export function testPairs(version: Version): void {
  const { title } = versions.find((one) => one.version === version)!
  let ground: Ground
  let noise: Noise
  beforeAll(async () => {
    // In cleartext: what TLS adds is work, and the layers alone are tested over it.
    ground = await openGround(version, { secure: false })
    noise = new Noise()
  })
  afterAll(async () => {
    await ground.close()
    noise[Symbol.dispose]()
  })

  for (const outer of layerKinds) {
    for (const inner of layerKinds) {
      it(`45, 47, 48: ${outer.name} over ${inner.name} (${title}), folded, apart, and in agent.compose`, async () => {
        const pair = [outer, inner]
        const [folded, apart, foreign] = await Promise.all([
          playRow(ground, noise, pair, assemblies.chained),
          playRow(ground, noise, pair, assemblies.separated),
          playRow(ground, noise, pair, assemblies['in agent.compose']),
        ])
        ground.clear()
        const none: string[] = []
        expect({ folded: folded.mistakes, apart: apart.mistakes, foreign: foreign.mistakes }).toEqual({
          folded: none,
          apart: none,
          foreign: none,
        })
        expect([...differences(folded, apart), ...differences(folded, foreign)]).toEqual([])
      })
    }
  }
}
