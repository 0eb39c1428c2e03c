import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { devCertificate, startServer } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call } from './support.ts'

describe('devCertificate', () => {
  it('is for localhost, 127.0.0.1 and ::1, with a P-256 key that fits', async () => {
    const { key, cert, ca } = await devCertificate()
    const certificate = new X509Certificate(cert)
    expect(certificate.checkHost('localhost')).toBe('localhost')
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(certificate.checkIP('::1')).toBe('::1')
    expect(certificate.checkHost('example.org')).toBeUndefined()
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true)
    expect(ca).toBe(cert)
    expect(certificate.validFromDate.getTime()).toBeLessThanOrEqual(Date.now())
    expect(certificate.validToDate.getTime()).toBeGreaterThan(Date.now() + 300 * 24 * 3600 * 1000)
  })

  it('is made once per process and list of hosts', async () => {
    const [one, two] = await Promise.all([devCertificate(), devCertificate()])
    expect(two).toBe(one)
    expect(await devCertificate({ hosts: ['localhost', '127.0.0.1', '::1'] })).toBe(one)
    expect((await devCertificate({ hosts: ['example.org'] })).cert).not.toBe(one.cert)
    await expect(devCertificate({ hosts: [] })).rejects.toThrow('hosts must name at least one host')
  })

  it('is refused by a caller that does not trust it, or that asks for another host', async () => {
    const certificate = await devCertificate({ hosts: ['example.org'] })
    await using server = await startServer({ certificate })
    const trusting = new Agent({ connect: { ca: server.ca! } })
    const wary = new Agent()
    onTestFinished(async () => {
      await Promise.all([trusting.destroy(), wary.destroy()])
    })
    await expect(call(trusting, server.url())).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    await expect(call(wary, server.url())).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(server.requests).toHaveLength(0)
  })

  it('names the package to install where selfsigned is missing', async () => {
    // Outside the project, where nothing is installed.
    const directory = await mkdtemp(join(tmpdir(), 'roundtripper-'))
    onTestFinished(() => rm(directory, { recursive: true }))
    await mkdir(join(directory, 'testing'))
    const source = fileURLToPath(new URL('../../src/testing/certificate.ts', import.meta.url))
    await cp(source, join(directory, 'testing/certificate.ts'))
    const script = join(directory, 'run.mjs')
    await writeFile(
      script,
      "import { devCertificate } from './testing/certificate.ts'\nawait devCertificate().catch((error) => console.log(error.message))\n",
    )
    const { stdout } = spawnSync(process.execPath, ['--no-warnings', script], { encoding: 'utf8' })
    expect(stdout).toContain('npm install --save-dev selfsigned@5')
  })
})
