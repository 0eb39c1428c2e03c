import type { Dispatcher } from 'undici'
import { eachHeader } from './headers.ts'
import type { HttpProxy } from './proxy-options.ts'

/** A request to an `http:` origin as its proxy takes it: with the whole URL as target (RFC 9112 §3.2.2) and the proxy's headers. */
export function forwardedOptions(
  opts: Dispatcher.DispatchOptions,
  origin: URL,
  proxy: HttpProxy,
): Dispatcher.DispatchOptions {
  const { path } = opts
  const forwarded = { ...opts }
  if (typeof path === 'string' && path.startsWith('/')) forwarded.path = `${origin.origin}${path}`
  const added = Object.entries(proxy.headers)
  if (added.length === 0) return forwarded
  const headers: string[] = []
  const given = new Set<string>()
  eachHeader(opts.headers, (name, value) => {
    given.add(name.toLowerCase())
    headers.push(name, value as string)
  })
  for (const [name, value] of added) if (!given.has(name)) headers.push(name, value)
  forwarded.headers = headers
  return forwarded
}
