// nghttpd, the server of nghttp2. It does not count, so a log of frames does.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { devCertificate } from 'roundtripper/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { FrameProxy } from './frame-proxy.ts'
import { certificateFiles, freePort, ours, ownFile, type Piped, programAt, start, untilListening } from './programs.ts'
import { reasonsOf, sentTwice, whyLost } from './reasons.ts'
import { allWell, calls, summary, taskFor } from './runs.ts'

const program = programAt('nghttpd', 'nghttp2-server')
let child: Piped | undefined
let port = 0

if (program !== undefined) {
  const { key, cert } = await certificateFiles()
  const folder = ownFile('htdocs')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'file'), 'ok')
  port = await freePort()
  child = start(program, ['--echo-upload', '-a', '127.0.0.1', '-d', folder, String(port), key, cert])
  await untilListening(port, child)
  if (child.exitCode !== null) throw new Error('nghttpd did not start')
}
afterAll(() => child?.kill())

describe.skipIf(program === undefined)('nghttpd', () => {
  async function logged(method: 'GET' | 'POST', cuts: number) {
    const certificate = await devCertificate()
    const proxy = await new FrameProxy(certificate, port).listen()
    let cut = 0
    proxy.onStream = (streams) => {
      if (cut < cuts && streams >= (calls * (cut + 1)) / (cuts + 1)) {
        cut++
        setImmediate(() => proxy.cut())
      }
    }
    const more = method === 'GET' ? { path: '/file?', answer: 'ok' } : { notesStreams: true }
    const report = await ours(taskFor(proxy.port, certificate.ca, method, more))
    proxy.close()
    expect(cut).toBe(cuts)
    return { report, log: proxy.log }
  }

  it.each([
    ['GET', 0],
    ['GET', 10],
    ['POST', 0],
  ] as const)('loses no %s of 20,000, with all connections cut %i times', async (method, cuts) => {
    const { report, log } = await logged(method, cuts)
    expect(summary(report)).toEqual(allWell)
    if (method === 'POST') expect(sentTwice(log)).toEqual([])
  })

  it('reports a POST whose connection was cut, and does not send it again', async () => {
    const { report, log } = await logged('POST', 10)
    const lost = reasonsOf(report.failures, (failure) => whyLost(log, failure))
    console.log(`POST, connections cut ten times: ${report.ok} ok, lost: ${JSON.stringify(lost.counts)}`)
    expect(lost.none).toEqual([])
    expect(summary(report)).toMatchObject({ unsettled: 0, inTime: true })
    expect(report.ok + report.failures.length).toBe(calls)
    expect(report.failures.length).toBeLessThanOrEqual(1000)
    expect(sentTwice(log)).toEqual([])
  })
})
