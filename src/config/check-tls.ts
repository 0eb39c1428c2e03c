import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Path } from './path.ts'
import type { Problems } from './problems.ts'
import type { ConnectConfig } from './types.ts'

type Pem = string | readonly string[] | undefined

function isRefused(options: SecureContextOptions): boolean {
  try {
    createSecureContext(options)
    return false
  } catch {
    // What OpenSSL says of it helps nobody, and may quote it.
    return true
  }
}

// Node passes over authorities that are none, such as the name of a file, and then trusts nobody.
function isNoCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length === 0
  } catch {
    return true
  }
}

function checkEach(pem: Pem, path: Path, isWrong: (one: string) => boolean, message: string, problems: Problems): void {
  if (typeof pem === 'string') {
    if (isWrong(pem)) problems.add(path, message)
    return
  }
  for (const [at, one] of (pem ?? []).entries()) if (isWrong(one)) problems.add([...path, at], message)
}

/** Looks over the texts in PEM that connections are made with: else each of them would fail, and the calls with it. */
export function checkTls({ ca, cert, key, passphrase }: ConnectConfig, path: Path, problems: Problems): void {
  const certificate = 'must be a certificate in PEM: the text itself, not the name of a file'
  checkEach(ca, [...path, 'ca'], isNoCertificate, certificate, problems)
  checkEach(cert, [...path, 'cert'], (one) => isRefused({ cert: one }), certificate, problems)
  const opened = passphrase === undefined ? '' : ' that the passphrase opens'
  const isNoKey = (one: string) => isRefused({ key: one, passphrase })
  checkEach(key, [...path, 'key'], isNoKey, `must be a private key in PEM${opened}`, problems)
  if (problems.isWithin(path)) return
  if (isRefused({ cert, key, passphrase } as SecureContextOptions))
    problems.add([...path, 'key'], 'must be that of cert')
}
