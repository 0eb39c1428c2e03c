// The documented rules of Envoy and Finagle, as vectors. Envoy: docs "Outlier detection" and
// config.cluster.v3.OutlierDetection; source/common/upstream/outlier_detection_impl.cc and its test. Finagle: user guide,
// "Failure Accrual"; liveness/FailureAccrualPolicy.scala.
import { describe, expect, it } from 'vitest'
import { checkEjection, ejectionDefaults } from '../../src/policies/ejection-options.ts'
import { leastShare, OutlierEjection } from '../../src/policies/outlier-ejection.ts'
import { World } from './host-group-fixtures.ts'

/** Answers of an interval for each host: `shares` in percent, of so many calls. */
function playInterval(world: World, shares: readonly number[], calls: number): void {
  for (const [at, share] of shares.entries()) {
    const failures = Math.round((calls * (100 - share)) / 100)
    // Spread out, so that no run of them is long.
    for (let call = 0; call < calls; call++) {
      const isBad = Math.floor(((call + 1) * failures) / calls) > Math.floor((call * failures) / calls)
      world.call(at, isBad ? 'serverError' : 'success')
    }
  }
}

const sharesOnly = { consecutiveFailures: false } as const

describe("Envoy's rules", () => {
  it('its documented defaults, but for the share that may be ejected and the jitter', () => {
    // consecutive_5xx 5, interval 10 s, base_ejection_time 30 s, max_ejection_time 300 s, success_rate_minimum_hosts 5,
    // success_rate_request_volume 100, success_rate_stdev_factor 1900, enforcing_failure_percentage 0.
    expect(ejectionDefaults).toMatchObject({
      consecutiveFailures: 5,
      interval: 10_000,
      ejectionTime: 30_000,
      maxEjectionTime: 300_000,
      successShare: { deviations: 1.9, minimumCalls: 100, minimumHosts: 5 },
      failureShare: false,
    })
    // failure_percentage_threshold 85, failure_percentage_request_volume 50, failure_percentage_minimum_hosts 5.
    expect(checkEjection('ejection', { failureShare: {} }).failureShare).toEqual({
      share: 0.85,
      minimumCalls: 50,
      minimumHosts: 5,
    })
  })

  it('success rate: 50, 100, 100, 100, 100 give a mean of 90, a deviation of 20 and a threshold of 52', () => {
    // TEST(OutlierUtility, SRThreshold) and the comment of successRateEjectionThreshold.
    expect(leastShare([50, 100, 100, 100, 100], 1.9)).toBe(52)
    expect(leastShare([50, 100, 100, 100, 100], 0)).toBe(90)
  })

  it('success rate: a host below the threshold is ejected when the interval ends, and not before', () => {
    const world = new World(5, { ejection: sharesOnly })
    playInterval(world, [50, 100, 100, 100, 100], 100)
    world.pass(9_999)
    expect(world.standings()).toEqual(['in', 'in', 'in', 'in', 'in'])
    world.pass(1)
    expect(world.standings()).toEqual(['ejected', 'in', 'in', 'in', 'in'])
    expect(world.steps).toEqual([
      { host: 'http://host-0.test', from: 'in', to: 'ejected', reason: 'successShare', ejectedFor: 30_000 },
    ])
  })

  it.each([
    ['request volume: 99 calls are not compared', [50, 100, 100, 100, 100], 99, {}],
    ['minimum hosts: four are not compared', [50, 100, 100, 100], 100, {}],
    ['all equally bad: nobody is an outlier', [50, 50, 50, 50, 50], 100, {}],
    ['a wide factor: 2.1 deviations below 90 are 48', [50, 100, 100, 100, 100], 100, { deviations: 2.1 }],
  ])('success rate: %s', (_name, shares, calls, successShare) => {
    const world = new World(shares.length, { ejection: { ...sharesOnly, successShare } })
    playInterval(world, shares, calls)
    world.pass(10_000)
    expect(world.steps).toEqual([])
  })

  it('failure percentage: from the threshold on, whatever the others do', () => {
    const ejection = { ...sharesOnly, successShare: false, failureShare: {}, maxEjected: 1 } as const
    const world = new World(6, { ejection })
    playInterval(world, [15, 16, 10, 0, 100, 100], 100)
    world.pass(10_000)
    expect(world.standings()).toEqual(['ejected', 'in', 'ejected', 'ejected', 'in', 'in'])
    expect(world.host(0).reason).toBe('failureShare')
  })

  it('consecutive 5xx: the fifth in a row ejects, a success between begins anew', () => {
    const world = new World(5)
    world.call(0, 'serverError', 4)
    world.call(0, 'success')
    world.call(0, 'serverError', 4)
    expect(world.host(0).standing).toBe('in')
    world.call(0, 'networkError')
    expect(world.host(0)).toMatchObject({ standing: 'ejected', reason: 'consecutiveFailures' })
  })

  it('the ejection time is the base time by the number of ejections, up to the longest', () => {
    // 30 s, 60 s, ... and never more than 300 s; the multiplier stops one step above it (ejectHost).
    const rules = new OutlierEjection(checkEjection('ejection', {}))
    let count = 0
    const times = Array.from({ length: 12 }, () => {
      count = rules.countAfter(count)
      return rules.timeOf(count, 0) / 1000
    })
    expect(times).toEqual([30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300])
    expect(count).toBe(11)
  })

  it('the multiplier falls by one for each interval that the host stays in', () => {
    const world = new World(5)
    for (let time = 0; time < 3; time++) {
      world.call(0, 'serverError', 5)
      world.pass(world.host(0).ejectedUntil - world.now)
      world.answer(world.sendTo(world.host(0)))
      expect(world.host(0)).toMatchObject({ standing: 'in', ejections: time + 1 })
    }
    world.pass(20_000)
    expect(world.host(0).ejections).toBe(1)
    world.call(0, 'serverError', 5)
    expect(world.host(0).ejectedUntil - world.now).toBe(60_000)
  })

  it('jitter: hosts that are ejected together do not come back together', () => {
    const rules = new OutlierEjection(checkEjection('ejection', { jitter: 0.5 }))
    expect([0, 0.5, 0.999].map((chance) => Math.round(rules.timeOf(1, chance)))).toEqual([30_000, 37_500, 44_985])
  })

  it('at most so many per cent, but one in any case', () => {
    const rules = new OutlierEjection(checkEjection('ejection', { maxEjected: 0.1 }))
    expect([1, 5, 10, 19, 20, 100].map((hosts) => rules.most(hosts))).toEqual([1, 1, 1, 1, 2, 10])
  })
})

describe("Finagle's rules", () => {
  it('consecutive failures: five by default, counted anew after a success', () => {
    // FailureAccrualPolicy.consecutiveFailures(numFailures): dead when the count is at least numFailures.
    const world = new World(3, { ejection: { consecutiveFailures: 3, successShare: false } })
    world.call(0, 'networkError', 2)
    world.call(0, 'success')
    world.call(0, 'networkError', 2)
    expect(world.host(0).standing).toBe('in')
    world.call(0, 'networkError')
    expect(world.host(0).standing).toBe('ejected')
  })

  it('success rate: below 0.8 of at least five requests within 30 s a host is dead, whatever the others do', () => {
    // Its rate is a moving average, and looked at with each failure; here it is that of a whole interval.
    const failureShare = { share: 0.2001, minimumCalls: 5, minimumHosts: 1 }
    const ejection = { ...sharesOnly, successShare: false, failureShare, interval: 30_000 } as const
    const world = new World(4, { ejection })
    playInterval(world, [80, 70], 10)
    playInterval(world, [100, 100, 50], 4)
    world.pass(30_000)
    expect(world.standings()).toEqual(['in', 'ejected', 'in', 'in'])
  })

  it('revival: a probe that goes well brings the host back, one that fails marks it dead for longer', () => {
    // FailureAccrualFactory: ProbeOpen, one request, then ProbeClosed until it is decided.
    const world = new World(3)
    world.call(0, 'networkError', 5)
    world.pass(30_000)
    const probe = world.send()
    expect(probe.host).toBe(world.host(0))
    expect(world.send().host).not.toBe(world.host(0))
    world.answer(probe, 'networkError')
    expect(world.host(0)).toMatchObject({ standing: 'ejected', reason: 'probe', ejectedUntil: world.now + 60_000 })
    world.pass(60_000)
    world.answer(world.send())
    expect(world.host(0)).toMatchObject({ standing: 'in', reason: 'recovered' })
  })
})

describe('options', () => {
  it.each([
    [{ consecutiveFailures: 0 }, 'ejection: consecutiveFailures must be a whole number of at least 1'],
    [{ interval: 0 }, 'ejection: interval must be'],
    [{ successShare: { deviations: -1 } }, 'ejection: successShare: deviations must be'],
    [{ successShare: { hosts: 1 } }, 'ejection: successShare: unknown option "hosts"'],
    [{ failureShare: { share: 0 } }, 'ejection: failureShare: share must be'],
    [{ ejectionTime: 5_000, maxEjectionTime: 4_000 }, 'ejection: maxEjectionTime must be a number from 5000'],
    [{ jitter: 2 }, 'ejection: jitter must be'],
    [{ maxEjected: 2 }, 'ejection: maxEjected must be'],
    [{ consecutiveFailures: false, successShare: false }, 'ejection: every rule is false'],
  ])('%j is refused', (options, message) => {
    expect(() => checkEjection('ejection', options as never)).toThrow(message)
  })

  it('one that is undefined is its default', () => {
    expect(checkEjection('ejection', { consecutiveFailures: undefined as never })).toMatchObject({
      consecutiveFailures: 5,
    })
    expect(checkEjection('ejection', { ejectionTime: 400_000 }).maxEjectionTime).toBe(400_000)
  })
})
