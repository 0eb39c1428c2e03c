// The handler contract over a group: alone also with a host that cannot be reached, so that every second call goes on to another.
import { balance } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Books } from '../contract/books.ts'
import { type Ground, openGround, versions } from '../contract/ground.ts'
import { type LayerKind, layerKinds } from '../contract/layers.ts'
import { Noise } from '../contract/noise.ts'
import { scenarios } from '../contract/scenarios.ts'
import { assemblies, playRow } from '../contract/table.ts'

describe.each(versions)('the handler contract over $title', ({ version, title }) => {
  let ground: Ground
  let noise: Noise
  let dead: string
  beforeAll(async () => {
    ground = await openGround(version)
    noise = new Noise()
    const server = await startServer({ protocol: 'h1' })
    dead = server.origin
    await server.close()
  })
  afterAll(async () => {
    await ground.close()
    noise[Symbol.dispose]()
  })

  const groupOf = (hosts: () => string[]): LayerKind => ({
    name: 'balance',
    make(books: Books) {
      const layer = balance({ hosts: hosts(), algorithm: 'roundRobin', ejection: false })
      books.check(() => {
        const busy = Object.values(layer.state()).some(({ inFlight }) => inFlight !== 0)
        return busy ? `balance: ${JSON.stringify(layer.state())}` : null
      })
      return [layer]
    },
  })
  const group = groupOf(() => [ground.server.origin])
  const halfDead = groupOf(() => [dead, ground.server.origin])
  // A transport that says it has begun to send, and then refuses the connection, leaves nothing to be sent elsewhere.
  const reachable = scenarios.filter(({ name }) => !name.includes('starts the call three times'))

  for (const [name, assembly] of Object.entries(assemblies)) {
    it(`45, 47, 48: balance alone, ${name} (${title})`, async () => {
      expect((await playRow(ground, noise, [group], assembly)).mistakes).toEqual([])
      expect((await playRow(ground, noise, [halfDead], assembly, reachable)).mistakes).toEqual([])
    })
  }

  for (const kind of layerKinds) {
    it(`45, 47: balance below ${kind.name} (${title})`, async () => {
      expect((await playRow(ground, noise, [kind, group], assemblies.chained)).mistakes).toEqual([])
    })

    it(`45, 47: balance above ${kind.name} (${title})`, async () => {
      expect((await playRow(ground, noise, [group, kind], assemblies.chained)).mistakes).toEqual([])
    })
  }
})
