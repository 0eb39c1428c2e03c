import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { devCertificate, startServer } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call } from './support.ts'

const certificateModule = new URL('../../src/testing/certificate.ts', import.meta.url).href

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
    // As if nothing were installed: looks for the package from the root of the file system.
    const script = `
      import { registerHooks } from 'node:module'
      registerHooks({ resolve: (name, context, next) =>
        next(name, name === 'selfsigned' ? { ...context, parentURL: 'file:///' } : context) })
      const { devCertificate } = await import(${JSON.stringify(certificateModule)})
      await devCertificate().catch((error) => console.log(error.message))
    `
    const { stdout } = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '--eval', script], {
      encoding: 'utf8',
    })
    expect(stdout).toContain('npm install --save-dev selfsigned@5')
  })
})
