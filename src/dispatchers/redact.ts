import { type ParsedUrlQueryInput, stringify } from 'node:querystring'
import type { Dispatcher } from 'undici'

// What signs or authorises a request must not be written down. The first eight are those the semantic conventions name
// for url.full, and their siblings; the others are the names by which tokens commonly travel. In lower case, without `-`
// and `_`: of one name there are as many spellings as styles (access_token, accessToken, access-token).
const secretKeys: ReadonlySet<string> = new Set([
  'awsaccesskeyid',
  'signature',
  'sig',
  'xgoogsignature',
  'xgoogcredential',
  'xamzsignature',
  'xamzcredential',
  'xamzsecuritytoken',
  'accesstoken',
  'idtoken',
  'refreshtoken',
  'authtoken',
  'sessiontoken',
  'token',
  'jwt',
  'auth',
  'authorization',
  'apikey',
  'xapikey',
  'accesskey',
  'secretkey',
  'key',
  'code',
  'codeverifier',
  'clientassertion',
  'clientsecret',
  'secret',
  'sessionid',
  'password',
  'passwd',
  'pwd',
])

const redacted = 'REDACTED'

function normalised(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}

function decoded(name: string): string {
  try {
    return normalised(decodeURIComponent(name.replaceAll('+', ' ')))
  } catch {
    return normalised(name)
  }
}

function redactPair(pair: string): string {
  const equals = pair.indexOf('=')
  if (equals < 0) return pair
  return secretKeys.has(decoded(pair.slice(0, equals))) ? `${pair.slice(0, equals)}=${redacted}` : pair
}

/** A path with the values of signatures, keys and tokens in its query replaced by `REDACTED`. */
export function redactPath(path: string): string {
  const start = path.indexOf('?')
  if (start < 0) return path
  return `${path.slice(0, start)}?${path
    .slice(start + 1)
    .split('&')
    .map(redactPair)
    .join('&')}`
}

// As undici writes it.
function queryOf(query: Dispatcher.DispatchOptions['query']): string {
  const text = query ? stringify(query as ParsedUrlQueryInput) : ''
  return text === '' ? '' : `?${text}`
}

// A password may hold an unescaped `@`: the last one before the path ends the credentials.
function withoutCredentials(url: string): string {
  return url.includes('@') ? url.replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i, '$1') : url
}

/**
 * The URL of a request as it may be written down: without credentials, and with the values of signatures, keys and
 * tokens replaced by `REDACTED` (semantic conventions, `url.full`).
 */
export function redactedUrl(
  origin: string,
  opts: { readonly path: string; readonly query?: Dispatcher.DispatchOptions['query'] },
): string {
  // Whatever a caller gave as path, the check at the edge has yet to see it.
  const path = String(opts.path)
  const whole = `${path}${queryOf(opts.query)}`
  // Proxies are spoken to with an absolute URL as path.
  return withoutCredentials(redactPath(path.startsWith('/') ? origin + whole : whole))
}
