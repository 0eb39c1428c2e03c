import { bulkhead, compose, retry, standard } from 'roundtripper'
import { seededRandom } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it } from 'vitest'
import { ModelService } from './model-service.ts'
import { ClosedLoop, exponential, inWorld, ModelServer, OpenLoop, report, VirtualClock } from './world.ts'

const constant = (milliseconds: number) => () => milliseconds
const get = { origin: 'http://model.test', path: '/', method: 'GET' } as const

/** Writes down what a handler is told. */
function told(): { readonly story: string[]; readonly handler: Dispatcher.DispatchHandler; abort(): void } {
  const story: string[] = []
  let controller: Dispatcher.DispatchController | null = null
  return {
    story,
    handler: {
      onRequestStart(given) {
        controller = given
        story.push('start')
      },
      onResponseStart: (_controller, status) => void story.push(`head ${status}`),
      onResponseData: (_controller, chunk) => void story.push(`${chunk}`),
      onResponseEnd: () => void story.push('end'),
      onResponseError: (_controller, error) => void story.push(error.message),
    },
    abort: () => controller?.abort(new Error('enough')),
  }
}

describe('the virtual clock', () => {
  it('goes from event to event, in order of time and then of setting, and runs microtasks between two', async () => {
    const order: string[] = []
    await inWorld(async (clock) => {
      const began = performance.now()
      const at = (name: string) => order.push(`${name} ${performance.now() - began}`)
      setTimeout(() => at('late'), 20)
      setTimeout(() => {
        at('one')
        Promise.resolve()
          .then(() => {})
          .then(() => at('a promise of one'))
      }, 10)
      setTimeout(() => at('two'), 10)
      const never = setTimeout(() => at('never'), 15)
      setTimeout(() => clearTimeout(never), 12)
      await clock.run(20)
      expect(performance.now() - began).toBe(20)
    })
    expect(order).toEqual(['one 10', 'a promise of one 10', 'two 10', 'late 20'])
  })

  it('rejects with what a timer throws, and gives the real clock back', async () => {
    const real = setTimeout
    const failing = inWorld(async (clock) => {
      setTimeout(() => {
        throw new Error('thrown')
      }, 5)
      await clock.run(10)
    })
    await expect(failing).rejects.toThrow('thrown')
    expect(setTimeout).toBe(real)
  })

  it('keeps its timers in order, whatever is set and cleared', async () => {
    const random = seededRandom()
    console.log(`timers: seed ${random.seed}`)
    const clock = new VirtualClock()
    const fired: number[] = []
    const timers: NodeJS.Timeout[] = []
    for (let index = 0; index < 3000; index++) {
      timers.push(clock.after(random.integer(0, 500), () => fired.push(clock.now)))
    }
    let cleared = 0
    for (const timer of timers) {
      if (!random.chance(0.5)) continue
      timer.close()
      cleared++
    }
    await clock.run(500)
    expect(fired.length).toBe(3000 - cleared)
    expect(fired).toEqual(fired.toSorted((a, b) => a - b))
  })
})

describe('the modelled server', () => {
  // Erlang's C formula; with 10 servers and a load of 8, 0.409 of all wait (A. O. Allen, "Probability, Statistics, and
  // Queueing Theory", 2nd ed., tables of M/M/c; W = C S / (c - a)).
  it('makes callers wait as long as queueing theory says', async () => {
    const { p50, meanWait, records } = await inWorld(async (clock) => {
      const work = seededRandom(1)
      const serviceTime = () => exponential(work, 10)
      const server = new ModelServer({ clock, workers: 10, serviceTime, roundTrip: 0 })
      const load = new OpenLoop({ clock, random: seededRandom(2), dispatcher: server, patience: 10_000, rate: 800 })
      await clock.run(100_000)
      load.stop()
      await clock.run(10_000)
      const mean = load.records.reduce((sum, { took }) => sum + took, 0) / load.records.length
      return { ...report(load.records, 0, clock.now), meanWait: mean - 10, records: load.records.length }
    })
    expect(records).toBeGreaterThan(75_000)
    expect(meanWait).toBeGreaterThan(1.85)
    expect(meanWait).toBeLessThan(2.25)
    expect(p50).toBeLessThan(10)
  }, 60_000)

  it('is the same again with the same seeds', async () => {
    const once = () =>
      inWorld(async (clock) => {
        const work = seededRandom(3)
        const server = new ModelServer({ clock, workers: 4, serviceTime: () => exponential(work, 20), queue: 10 })
        const chain = compose(server, standard({ tracing: false, bulkhead: { limit: 8, queue: 8 } }))
        const load = new OpenLoop({ clock, random: seededRandom(4), dispatcher: chain, patience: 200, rate: 250 })
        await clock.run(5_000)
        load.stop()
        await clock.run(60_000)
        return load.records
      })
    const first = await once()
    expect(first.length).toBeGreaterThan(1000)
    expect(await once()).toEqual(first)
  })

  it('keeps the contract: a start, a head, the body, an end; an abort is answered at once', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 1, serviceTime: constant(10), queue: 1 })
      const [one, two, three] = [told(), told(), told()]
      for (const { handler } of [one, two, three]) server.dispatch(get, handler)
      await clock.run(5)
      expect(three.story).toEqual(['start', 'head 503', '{"ok":true}', 'end'])
      two.abort()
      expect(two.story).toEqual(['start', 'enough'])
      await clock.run(50)
      expect(one.story).toEqual(['start', 'head 200', '{"ok":true}', 'end'])
      expect(two.story).toEqual(['start', 'enough'])
      expect({ wasted: server.wasted, served: server.served, turnedAway: server.turnedAway }).toEqual({
        wasted: 1,
        served: 1,
        turnedAway: 1,
      })
    })
  })

  it('that notices aborts is free at once', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 1, serviceTime: constant(100), noticesAbort: true })
      const [working, waiting, last] = [told(), told(), told()]
      for (const { handler } of [working, waiting, last]) server.dispatch(get, handler)
      await clock.run(10)
      expect(server.load).toBe(3)
      working.abort()
      waiting.abort()
      expect(server.load).toBe(1)
      await clock.run(101)
      expect(last.story).toContain('head 200')
      expect(server.wasted).toBe(0)
    })
  })

  it('gets slower with every request too many, where there is contention', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 2, serviceTime: constant(10), contention: 1, roundTrip: 0 })
      const load = new ClosedLoop({
        clock,
        random: seededRandom(5),
        dispatcher: server,
        patience: 1000,
        users: 8,
        think: 1,
      })
      await clock.run(10_000)
      load.stop()
      await clock.run(1_000)
      // Two workers would do 200 a second; four times as many requests as workers take four times as long.
      const { goodput } = report(load.records, 1_000, 11_000)
      expect(goodput).toBeLessThan(80)
      expect(goodput).toBeGreaterThan(40)
      expect(load.open).toBe(0)
    })
  })

  it.each([
    ['refuse', 'ECONNREFUSED'],
    ['hang', 'gave up'],
    [500, 500],
  ] as const)('that is out (%s) is seen as such', async (outage, result) => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 2, serviceTime: constant(10) })
      server.outage = outage
      const load = new OpenLoop({ clock, random: seededRandom(6), dispatcher: server, patience: 100, rate: 100 })
      await clock.run(1_000)
      load.stop()
      await clock.run(200)
      expect([...report(load.records, 0, clock.now).results.keys()]).toEqual([result])
    })
  })
})

describe('callers', () => {
  it('try again after a pause, and what they tell is of all tries', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 10, serviceTime: constant(9), roundTrip: 1 })
      const load = new ClosedLoop({
        clock,
        random: seededRandom(7),
        dispatcher: server,
        patience: 100,
        users: 1,
        think: 1e-9,
        tries: 3,
        pause: 50,
      })
      server.outage = 'refuse'
      await clock.run(40)
      server.outage = 'hang'
      await clock.run(100)
      server.outage = null
      load.stop()
      await clock.run(200)
      // Refused at 1, given up at 51 + 100, answered 50 later.
      expect(load.open).toBe(0)
      expect(load.records.map(({ took, result }) => [Math.round(took), result])).toEqual([[211, 200]])
    })
  })
})

describe('the modelled service', () => {
  it('is full of calls that do not end, whether or not their callers wait for them', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 10, serviceTime: constant(10), roundTrip: 0 })
      const service = new ModelService({ workers: 1, queue: 1, calls: server })
      server.outage = 'hang'
      const [working, waiting, last, next] = [told(), told(), told(), told()]
      for (const { handler } of [working, waiting, last]) service.dispatch(get, handler)
      await clock.run(1)
      expect(last.story).toEqual(['start', 'head 503', 'end'])
      working.abort()
      expect(working.story).toEqual(['start', 'enough'])
      server.outage = null
      await clock.run(1_000)
      expect(waiting.story).toEqual(['start'])
      service.dispatch(get, next.handler)
      expect(next.story).toEqual(['start', 'head 503', 'end'])
    })
  })

  it('goes on with those that still wait, and a call that fails is its bad gateway', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 10, serviceTime: constant(10), roundTrip: 0 })
      const service = new ModelService({ workers: 1, queue: 5, calls: server })
      const [one, gone, two] = [told(), told(), told()]
      for (const { handler } of [one, gone, two]) service.dispatch(get, handler)
      await clock.run(5)
      gone.abort()
      await clock.run(5)
      server.outage = 'refuse'
      await clock.run(50)
      expect(one.story).toEqual(['start', 'head 200', 'end'])
      expect(two.story).toEqual(['start', 'head 200', 'end'])
      expect(server.arrived).toBe(2)
      const failed = told()
      service.dispatch(get, failed.handler)
      await clock.run(50)
      expect(failed.story).toEqual(['start', 'head 502', 'end'])
    })
  })
})

describe('a chain in the world', () => {
  it('waits for its backoffs and its queues in virtual time', async () => {
    await inWorld(async (clock) => {
      const server = new ModelServer({ clock, workers: 1, serviceTime: constant(10), roundTrip: 0 })
      const backoff = { initialDelay: 1_000, jitter: 'none', maxDelay: 1_000 } as const
      const chain = compose(server, retry({ backoff }), bulkhead({ limit: 1 }))
      const [one, two] = [told(), told()]
      server.outage = 503
      chain.dispatch(get, one.handler)
      await clock.run(1)
      server.outage = null
      chain.dispatch(get, two.handler)
      await clock.run(900)
      expect(one.story).toEqual(['start'])
      expect(two.story).toContain('end')
      await clock.run(200)
      expect(one.story).toEqual(['start', 'head 200', '{"ok":true}', 'end'])
    })
  })
})
