// Go's own server: gracefully shut down and replaced on the same port while it is in use, and cut off without a word.
import { text } from 'node:stream/consumers'
import { devCertificate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { FrameProxy } from './frame-proxy.ts'
import { buildGo, certificateFiles, ended, ours, programAt, start } from './programs.ts'
import { reasonsOf, sentTwice, whyGetLost, whyLost } from './reasons.ts'
import { allWell, callers, calls, moreThanOnce, summary, taskFor } from './runs.ts'

const go = programAt('go', 'golang-go')

interface GoServer {
  readonly port: number
  readonly ca: string
  stop(): Promise<{ seen: Map<string, number>; restarts: number }>
}

async function startGoServer(restarts: number, hard: boolean): Promise<GoServer> {
  const { key, cert, ca } = await certificateFiles()
  const every = restarts === 0 ? 0 : Math.floor(calls / (restarts + 1))
  const args = ['-key', key, '-cert', cert, '-every', String(every), ...(hard ? ['-hard'] : [])]
  const child = start(await buildGo(go!, 'server'), args)
  const output = text(child.stdout)
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(Number(line)))
    child.once('close', () => reject(new Error('the server did not start')))
  })
  return {
    port,
    ca,
    async stop() {
      child.stdin.end()
      const [said] = await Promise.all([output, ended(child, 'the server')])
      const { seen, restarts } = JSON.parse(said.slice(said.indexOf('\n')))
      return { seen: new Map(Object.entries(seen)), restarts }
    },
  }
}

describe.skipIf(go === undefined)("Go's server", () => {
  it.each([
    ['GET', 0],
    ['GET', 10],
    ['POST', 0],
    ['POST', 10],
  ] as const)('34: loses no %s of 20,000, with %i graceful restarts', async (method, wanted) => {
    const server = await startGoServer(wanted, false)
    const report = await ours(taskFor(server.port, server.ca, method))
    const { seen, restarts } = await server.stop()
    expect(summary(report)).toEqual(allWell)
    expect(restarts).toBeGreaterThanOrEqual(wanted)
    expect(seen.size).toBe(calls)
    if (method === 'POST') expect(moreThanOnce(seen)).toEqual([])
  })

  it.each(['GET', 'POST'] as const)(
    'drops all connections ten times: a %s that is lost could not go out again',
    async (method) => {
      const server = await startGoServer(10, true)
      const proxy = await new FrameProxy(await devCertificate(), server.port).listen()
      try {
        const report = await ours(taskFor(proxy.port, server.ca, method, { notesStreams: true }))
        const { seen, restarts } = await server.stop()
        const why = method === 'GET' ? whyGetLost : whyLost
        const lost = reasonsOf(report.failures, (failure) => why(proxy.log, failure))
        console.log(`${method}, connections dropped ten times: ${report.ok} ok, lost: ${JSON.stringify(lost.counts)}`)
        expect(restarts).toBeGreaterThanOrEqual(10)
        expect(lost.none).toEqual([])
        expect(summary(report)).toMatchObject({ unsettled: 0, inTime: true })
        expect(report.ok + report.failures.length).toBe(calls)
        if (method === 'GET') return
        // No more than were under way.
        expect(report.failures.length).toBeLessThanOrEqual(restarts * callers)
        expect(moreThanOnce(seen)).toEqual([])
        expect(sentTwice(proxy.log)).toEqual([])
      } finally {
        proxy.close()
      }
    },
  )

  // Here node:http2 is not always told of the end.
  it.each(['GET', 'POST'] as const)('resets all connections ten times: each %s settles in time', async (method) => {
    const server = await startGoServer(10, true)
    const report = await ours(taskFor(server.port, server.ca, method))
    const { seen, restarts } = await server.stop()
    console.log(
      `${method}, connections reset ten times: ${JSON.stringify(summary(report))}, slowest ${report.slowest} ms`,
    )
    expect(restarts).toBeGreaterThanOrEqual(10)
    expect(summary(report)).toMatchObject({ unsettled: 0, inTime: true })
    expect(report.ok + report.failures.length).toBe(calls)
    expect(report.failures.length).toBeLessThanOrEqual(method === 'GET' ? callers : restarts * callers)
    if (method === 'POST') expect(moreThanOnce(seen)).toEqual([])
  })
})
