// The handler contract, as one table over every layer alone. The pairs, and undici's own layers, have files of their own.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Books } from '../contract/books.ts'
import { type Ground, openGround, versions } from '../contract/ground.ts'
import { layerKinds } from '../contract/layers.ts'
import { Noise } from '../contract/noise.ts'
import { mistakesOf, play } from '../contract/play.ts'
import { isPlain, scenarios } from '../contract/scenarios.ts'
import { assemblies, playRow } from '../contract/table.ts'

describe.each(versions)('the handler contract over $title', ({ version, title }) => {
  let ground: Ground
  let noise: Noise
  beforeAll(async () => {
    ground = await openGround(version)
    noise = new Noise()
  })
  afterAll(async () => {
    await ground.close()
    noise[Symbol.dispose]()
  })

  it('is what the transport itself keeps, where it can', async () => {
    const plain = scenarios.filter((scenario) => isPlain(scenario, version))
    const played = await play(ground.transport, ground, plain)
    expect(mistakesOf(played, ground, new Books())).toEqual([])
  })

  for (const kind of layerKinds) {
    it(`45, 47: ${kind.name} alone, composed (${title})`, async () => {
      expect((await playRow(ground, noise, [kind], assemblies.composed)).mistakes).toEqual([])
    })

    it(`45, 47, 48: ${kind.name} alone, in agent.compose (${title})`, async () => {
      expect((await playRow(ground, noise, [kind], assemblies['in agent.compose'])).mistakes).toEqual([])
    })
  }
})
