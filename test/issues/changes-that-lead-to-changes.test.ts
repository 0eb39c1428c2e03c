import { expect, it } from 'vitest'
import { outcomeOf, World } from '../policies/host-group-fixtures.ts'

// Whoever was told of a change, and changed the group, was told of what that led to before the changes that led there.
it('steps are told in the order in which hosts took them', () => {
  const told: string[] = []
  const world = new World(3, {
    ejection: { consecutiveFailures: 1, ejectionTime: 1_000, maxEjected: 1, jitter: 0 },
    panicThreshold: 0,
    onHostChange({ host, to }) {
      told.push(`${host.slice(7, 13)} ${to}`)
      if (to === 'probing' && told.length === 3) world.update({ ejection: false })
    },
  })
  for (const at of [0, 1]) {
    const { host, epoch } = world.sendTo(world.host(at))
    world.group.answered(host, outcomeOf('serverError'), epoch, world.now)
  }
  world.now += 1_000
  world.send()
  expect(told).toEqual([
    'host-0 ejected',
    'host-1 ejected',
    'host-0 probing',
    'host-1 probing',
    'host-0 in',
    'host-1 in',
  ])
})

// The answer that let time pass was still judged by the rules of before: nobody would ever have ended that ejection.
it('a host is not ejected by rules that whoever was told has just done away with', () => {
  const world = new World(3, {
    ejection: { consecutiveFailures: 1, ejectionTime: 1_000, jitter: 0 },
    onHostChange({ to }) {
      if (to === 'probing') world.update({ ejection: false })
    },
  })
  const first = world.sendTo(world.host(0))
  const second = world.sendTo(world.host(1))
  world.group.answered(first.host, outcomeOf('serverError'), first.epoch, world.now)
  world.now += 1_000
  world.group.answered(second.host, outcomeOf('serverError'), second.epoch, world.now)
  expect(world.group.hosts.map(({ standing }) => standing)).toEqual(['in', 'in', 'in'])
})
