import { expect, it } from 'vitest'
import { outcomeOf, World } from '../policies/host-group-fixtures.ts'

// Hosts without a weight were counted: beside two of them both others could be ejected, and the group panicked.
it('hosts without a weight do not make room for the ejection of those that serve', () => {
  const hosts = [0, 1, 2, 3].map((at) => ({ origin: `http://host-${at}.test`, weight: at < 2 ? 1 : 0 }))
  const world = new World(4, { hosts, ejection: { consecutiveFailures: 1 } })
  for (const at of [0, 1]) {
    const { host, epoch } = world.sendTo(world.host(at))
    world.group.answered(host, outcomeOf('serverError'), epoch, world.now)
  }
  expect(world.group.hosts.map(({ standing }) => standing)).toEqual(['ejected', 'in', 'in', 'in'])
  expect(world.group.isPanicking).toBe(false)
})
