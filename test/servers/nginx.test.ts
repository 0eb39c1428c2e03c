// nginx ends each connection with GOAWAY after a hundred requests, and all of them when it is told to reload.
import { devCertificate } from 'roundtripper/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { FrameProxy } from './frame-proxy.ts'
import { type Nginx, startNginx } from './nginx.ts'
import { ours, programAt } from './programs.ts'
import { reasonsOf, sentTwice, whyLost } from './reasons.ts'
import { allWell, calls, moreThanOnce, summary, taskFor } from './runs.ts'

const program = programAt('nginx', 'nginx-light or nginx')
const nginx = program === undefined ? undefined : await startNginx(program)
afterAll(() => nginx?.stop())

describe.skipIf(nginx === undefined)('nginx', () => {
  const server = nginx as Nginx

  it.each([
    ['GET', 0],
    ['GET', 10],
    ['POST', 0],
  ] as const)('34: loses no %s of 20,000, with %i reloads', async (method, reloads) => {
    server.begin(calls, reloads)
    expect(summary(await ours(taskFor(server.port, server.ca, method)))).toEqual(allWell)
    expect(await server.settled()).toBe(reloads)
    expect(server.seen.size).toBe(calls)
    if (method === 'POST') expect(moreThanOnce(server.seen)).toEqual([])
  })

  it('34: a POST with ten reloads settles, and reaches the upstream once at most', async () => {
    server.begin(calls, 10)
    const report = await ours(taskFor(server.port, server.ca, 'POST'))
    console.log('POST, ten reloads:', JSON.stringify(summary(report)))
    expect(await server.settled()).toBe(10)
    expect(summary(report)).toMatchObject({ unsettled: 0, inTime: true, protocol: 'HTTP/2' })
    expect(report.ok + report.failures.length).toBe(calls)
    expect(moreThanOnce(server.seen)).toEqual([])
  })

  it('34: only a POST that the server had taken, or whose connection ended without GOAWAY, is lost', async () => {
    const proxy = await new FrameProxy(await devCertificate(), server.port).listen()
    try {
      server.begin(calls, 10)
      const report = await ours(taskFor(proxy.port, server.ca, 'POST', { notesStreams: true }))
      expect(await server.settled()).toBe(10)
      const lost = reasonsOf(report.failures, (failure) => whyLost(proxy.log, failure))
      const goaways = proxy.log.filter((connection) => connection.goaways.length > 0).length
      console.log(`POST, ten reloads, logged: ${report.ok} ok, ${goaways} GOAWAY, lost: ${JSON.stringify(lost.counts)}`)
      expect(lost.none).toEqual([])
      expect(summary(report)).toMatchObject({ unsettled: 0, inTime: true })
      expect(report.ok + report.failures.length).toBe(calls)
      expect(goaways).toBeGreaterThan(100)
      expect(sentTwice(proxy.log)).toEqual([])
      expect(moreThanOnce(server.seen)).toEqual([])
    } finally {
      proxy.close()
    }
  })
})
