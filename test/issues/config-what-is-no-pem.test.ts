// A certificate or a key that is none was taken, and each call failed; the name of a file in the place of an authority was
// even passed over, so that no server was trusted.
import { generateKeyPairSync } from 'node:crypto'
import { devCertificate } from 'roundtripper/testing'
import { expect, it } from 'vitest'
import { problemsOf } from '../config/fixtures.ts'

it('texts that are no PEM, or do not fit, are told where they stand', async () => {
  const { ca, cert, key } = await devCertificate()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const other = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'a' }) as string
  const problems = (connect: object) => problemsOf({ agent: { connect }, upstreams: {} })

  expect(problems({ ca: [ca], cert, key })).toEqual([])
  expect(problems({ key: locked, passphrase: 'a' })).toEqual([])
  const certificate = 'must be a certificate in PEM: the text itself, not the name of a file'
  expect(problems({ ca: [ca, '/etc/ca.pem'], cert: 'cert.pem', key: 'key.pem' })).toEqual([
    `agent.connect.ca[1]: ${certificate}`,
    `agent.connect.cert: ${certificate}`,
    'agent.connect.key: must be a private key in PEM',
  ])
  expect(problems({ cert, key: other })).toEqual(['agent.connect.key: must be that of cert'])
  expect(problems({ key: locked })).toEqual(['agent.connect.key: must be a private key in PEM'])
  expect(problems({ key: locked, passphrase: 'b' })).toEqual([
    'agent.connect.key: must be a private key in PEM that the passphrase opens',
  ])
})
