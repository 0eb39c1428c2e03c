import { Buffer } from 'node:buffer'
import type { TLSSocketOptions } from 'node:tls'
import type { buildConnector } from 'undici'
import { checkOptions } from '../policies/options.ts'
import { isLoopback, readNoProxy } from './no-proxy.ts'

/** A proxy that is named, and what is to be known of it. */
export interface ProxyOptions {
  /** Where it is: `http://` or `https://`, host, port, and where it asks for them a user name and a password. */
  readonly url: string | URL
  /**
   * Hosts that are reached without it, written as in `NO_PROXY`.
   * @default ''
   */
  readonly noProxy?: string
  /**
   * Headers for the proxy alone, such as a `proxy-authorization` other than the one of the URL.
   * @default {}
   */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * TLS of the connection to an `https://` proxy, such as its `ca`. `connect` of the agent is for the servers behind it.
   * @default {}
   */
  readonly tls?: TLSSocketOptions & buildConnector.BuildOptions
}

/** A proxy as connections need it. */
export interface HttpProxy {
  readonly url: URL
  /** How messages name it: without a password. */
  readonly shown: string
  readonly headers: Readonly<Record<string, string>>
  readonly tls: object
}

/** The proxy for a URL, or `null`. */
export type FindProxy = (url: URL) => HttpProxy | null

const noProxy: FindProxy = () => null
const knownOptions = ['headers', 'noProxy', 'tls', 'url']

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function proxyAt(from: string, given: string | URL, options: Partial<ProxyOptions> = {}): HttpProxy {
  const text = String(given).trim()
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    // What was given may hold a password.
    const scheme = url === null ? '' : `, got ${url.protocol}//`
    throw new TypeError(
      `createAgent: ${from} must be the URL of a proxy that begins with http:// or https://${scheme}; proxy: false asks for none`,
    )
  }
  const headers: Record<string, string> = {}
  if (url.username !== '' || url.password !== '') {
    const credentials = Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString('base64')
    headers['proxy-authorization'] = `Basic ${credentials}`
  }
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = value
  return { url, shown: url.origin, headers, tls: options.tls ?? {} }
}

function fromOptions(options: ProxyOptions): FindProxy {
  checkOptions('createAgent: proxy', options, knownOptions)
  const { noProxy: direct = '' } = options
  if (typeof direct !== 'string')
    throw new TypeError(`createAgent: proxy.noProxy must be a string, got ${typeof direct}`)
  const url: unknown = options.url
  if (typeof url !== 'string' && !(url instanceof URL)) {
    throw new TypeError(`createAgent: proxy.url must be a string or a URL, got ${typeof url}`)
  }
  const proxy = proxyAt('proxy.url', url, options)
  const isDirect = readNoProxy(direct)
  return (url) => (isDirect(url) ? null : proxy)
}

type Environment = Readonly<Record<string, string | undefined>>

function variable(env: Environment, ...names: string[]): [name: string, value: string] | null {
  for (const name of names) {
    const value = env[name]?.trim()
    if (value) return [name, value]
  }
  return null
}

function fromEnvironment(env: Environment): FindProxy {
  // In a CGI program HTTP_PROXY is the `Proxy` header of whoever sent the request (httpoxy). On Windows names of variables have
  // no case.
  const isCgi = env.REQUEST_METHOD !== undefined
  const forHttp = ['http_proxy', 'HTTP_PROXY'].filter(
    (name) => !isCgi || (name === 'http_proxy' && process.platform !== 'win32'),
  )
  const proxies: Record<string, HttpProxy | undefined> = {}
  for (const [protocol, names] of [
    ['http:', forHttp],
    ['https:', ['https_proxy', 'HTTPS_PROXY']],
  ] as const) {
    const found = variable(env, ...names, 'all_proxy', 'ALL_PROXY')
    if (found !== null) proxies[protocol] = proxyAt(...found)
  }
  if (Object.keys(proxies).length === 0) return noProxy
  const isDirect = readNoProxy(variable(env, 'no_proxy', 'NO_PROXY')?.[1] ?? '')
  return (url) => (isLoopback(url) || isDirect(url) ? null : (proxies[url.protocol] ?? null))
}

/**
 * Reads the option `proxy`, and for `'env'` the variables, once.
 *
 * @throws TypeError for what is no proxy.
 */
export function readProxy(given: unknown, ownConnections: boolean, env: Environment = process.env): FindProxy {
  if (given === false) return noProxy
  if (given === undefined || given === null || given === 'env') {
    return ownConnections && given !== 'env' ? noProxy : fromEnvironment(env)
  }
  if (typeof given === 'string' || given instanceof URL) {
    const proxy = proxyAt('proxy', given)
    return () => proxy
  }
  if (typeof given === 'object') return fromOptions(given as ProxyOptions)
  throw new TypeError(`createAgent: proxy must be 'env', false, a URL or an object with a url, got ${String(given)}`)
}
