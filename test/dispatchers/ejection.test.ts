// What one bad host of five costs, and how it comes back; on real servers.
import {
  attemptTimeout,
  type BalanceOptions,
  balance,
  type ChainDispatcher,
  type HostChange,
  retry,
} from 'roundtripper'
import { type Script, startBlackhole, type TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, quick, serveMany, stopClock } from './retry-servers.ts'

const name = 'http://users'

function group(hosts: readonly string[], options: Partial<BalanceOptions> = {}) {
  return balance({ algorithm: 'roundRobin', hosts, slowStart: 0, random: () => 0, ...options })
}

const originsOf = (servers: readonly TestServer[]) => servers.map(({ origin }) => origin)

/** What becomes of so many calls: a status, or the code of an error. */
async function fates(chain: ChainDispatcher, calls: number): Promise<(number | string)[]> {
  const found: (number | string)[] = []
  for (let at = 0; at < calls; at++) {
    const answer = await call(chain, `${name}/`).catch((error: { code: string }) => error.code)
    found.push(typeof answer === 'string' ? answer : answer.status)
  }
  return found
}

const notGood = (fate: number | string) => fate !== 200

describe.each(protocols)('one dead host of five, over $version', ({ protocol }) => {
  it('that refuses connections costs no call anything, and is asked five times', async () => {
    const servers = await serveMany(5, protocol)
    const dead = servers[2] as TestServer
    const layer = group(originsOf(servers))
    const chain = chainTo(dead, layer)
    await dead.close()
    expect((await fates(chain, 50)).filter(notGood)).toEqual([])
    expect(layer.state()[dead.origin]).toMatchObject({
      standing: 'ejected',
      reason: 'consecutiveFailures',
      calls: 5,
      failures: 5,
    })
    expect(layer.state()[dead.origin]?.ejectedFor).toBeGreaterThan(29_000)
  })

  it.each([
    ['answers 500', 500, 500],
    ['resets', { reset: 'before-head' } as const, expect.any(String)],
  ])('that %s costs five calls, and after that none', async (_name, script: Script, fate) => {
    const servers = await serveMany(5, protocol)
    const dead = servers[2] as TestServer
    const layer = group(originsOf(servers))
    const chain = chainTo(dead, layer)
    dead.script('*', script)
    const found = await fates(chain, 60)
    expect(found.filter(notGood)).toEqual([fate, fate, fate, fate, fate])
    expect(found.slice(25).filter(notGood)).toEqual([])
    expect(dead.requests).toHaveLength(5)
  })

  it('that breaks off every body costs five calls, although its heads are good', async () => {
    const servers = await serveMany(5, protocol)
    const dead = servers[2] as TestServer
    const layer = group(originsOf(servers))
    const chain = chainTo(dead, layer)
    dead.script('*', { body: 'x'.repeat(1000), reset: 'in-body' })
    expect((await fates(chain, 60)).filter(notGood)).toHaveLength(5)
    expect(layer.state()[dead.origin]).toMatchObject({ standing: 'ejected', reason: 'brokenBodies' })
  })

  it('that is a black hole costs five calls their attempt timeout, and with retry() none more than that', async () => {
    const servers = await serveMany(4, protocol)
    const hole = await startBlackhole()
    onTestFinished(() => hole.close())
    const layer = group([hole.origin, ...originsOf(servers)])
    const chain = chainTo(servers[0] as TestServer, layer, attemptTimeout(1_000))
    const [bare, again] = [chain, chainTo(servers[0] as TestServer, retry(quick), layer, attemptTimeout(1_000))]
    for (let at = 0; at < 4; at++) await call(chain, `${name}/`).catch(() => {})
    const clock = stopClock()
    let failed = 0
    for (let at = 0; at < 30; at++) {
      let isOver = false
      const before = layer.state()[hole.origin]?.calls
      const pending = call(at % 2 === 0 ? bare : again, `${name}/`).then(
        ({ status }) => expect(status).toBe(200),
        (error) => {
          failed++
          expect(error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
        },
      )
      void pending.finally(() => {
        isOver = true
      })
      await eventually(() => isOver || layer.state()[hole.origin]?.calls !== before)
      if (!isOver && layer.state()[hole.origin]?.calls !== before) await clock.advance(1_000)
      while (!isOver) await clock.advance(10)
      await pending
    }
    expect(layer.state()[hole.origin]).toMatchObject({ standing: 'ejected', failures: 5, calls: 5 })
    expect(failed).toBeLessThanOrEqual(5)
  })

  it('comes back with one probe, while which is under way all others go elsewhere', async () => {
    const clock = stopClock()
    const servers = await serveMany(5, protocol)
    const dead = servers[2] as TestServer
    const steps: HostChange[] = []
    const layer = group(originsOf(servers), { onHostChange: (step) => void steps.push(step) })
    const chain = chainTo(dead, layer)
    dead.script('*', 500)
    await fates(chain, 50)
    let answerProbe = () => {}
    const hold = new Promise<void>((resolve) => {
      answerProbe = resolve
    })
    dead.script('*', { hold, body: 'back' })
    dead.clear()
    await clock.advance(30_000)
    const probe = call(chain, `${name}/`)
    await dead.nextRequest()
    expect((await fates(chain, 20)).filter(notGood)).toEqual([])
    expect(dead.requests).toHaveLength(1)
    answerProbe()
    expect((await probe).text).toBe('back')
    await fates(chain, 10)
    expect(dead.requests).toHaveLength(3)
    expect(steps.map(({ from, to, reason, ejectedFor }) => [from, to, reason, ejectedFor])).toEqual([
      ['in', 'ejected', 'consecutiveFailures', 30_000],
      ['ejected', 'probing', 'time', 0],
      ['probing', 'in', 'recovered', 0],
    ])
  })

  it('whose probe is refused costs its caller nothing, and stays away for longer', async () => {
    const clock = stopClock()
    const servers = await serveMany(3, protocol)
    const dead = servers[1] as TestServer
    const layer = group(originsOf(servers))
    const chain = chainTo(dead, layer)
    await dead.close()
    await fates(chain, 20)
    await clock.advance(30_000)
    expect(await fates(chain, 5)).toEqual([200, 200, 200, 200, 200])
    expect(layer.state()[dead.origin]).toMatchObject({ standing: 'ejected', reason: 'probe', calls: 6, ejections: 2 })
    expect(layer.state()[dead.origin]?.ejectedFor).toBe(60_000)
  })
})

it('when all hosts are down, all are called: the caller hears of the failure itself', async () => {
  const servers = await serveMany(2, 'h1')
  const layer = group(originsOf(servers), { ejection: { maxEjected: 1 } })
  const chain = chainTo(servers[0] as TestServer, layer)
  for (const server of servers) await server.close()
  for (let at = 0; at < 8; at++) expect(await errorOf(call(chain, `${name}/`))).toMatchObject({ code: 'ECONNREFUSED' })
  expect(Object.values(layer.state()).map(({ standing }) => standing)).toEqual(['ejected', 'ejected'])
})
