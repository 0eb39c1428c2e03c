import { isIP } from 'node:net'

/** A key and a certificate for a test server, all in PEM. */
export interface Certificate {
  readonly key: string
  readonly cert: string
  /** What a caller must trust: `new Agent({ connect: { ca } })`. The certificate signs itself, so it is the same as `cert`. */
  readonly ca: string
}

export interface CertificateOptions {
  /**
   * Host names and IP addresses it is valid for.
   * @default ['localhost', '127.0.0.1', '::1']
   */
  readonly hosts?: readonly string[]
}

const localHosts = ['localhost', '127.0.0.1', '::1']
const made = new Map<string, Promise<Certificate>>()

/**
 * A self-signed certificate (EC P-256, valid for one year), made in process and kept: asking again for the same hosts
 * gives the same certificate. Needs the package `selfsigned`, and says so where it is missing.
 */
export function devCertificate(options: CertificateOptions = {}): Promise<Certificate> {
  const { hosts = localHosts } = options
  if (hosts.length === 0) return Promise.reject(new RangeError('hosts must name at least one host, got none'))
  const name = hosts.join()
  let certificate = made.get(name)
  if (certificate === undefined) {
    certificate = generate(hosts)
    made.set(name, certificate)
  }
  return certificate
}

async function generate(hosts: readonly string[]): Promise<Certificate> {
  const { default: selfsigned } = await load()
  const { private: key, cert } = await selfsigned.generate([{ name: 'commonName', value: hosts[0] }], {
    // A fifth of the time an RSA key takes to make, and faster handshakes.
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: hosts.map((host) => (isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host })),
      },
    ],
  })
  return { key, cert, ca: cert }
}

async function load() {
  try {
    return await import('selfsigned')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new Error(
      'roundtripper/testing makes its certificates with the package selfsigned, which is not installed: npm install --save-dev selfsigned@5',
      { cause },
    )
  }
}
