import type { Exchange } from './exchange.ts'

/** Notes a host of a group that a call is sent to, so that another attempt goes to another one. */
export function noteHost(exchange: Exchange, host: object): void {
  if (exchange.firstHost === null) exchange.firstHost = host
  else if (host !== exchange.firstHost) {
    exchange.otherHosts ??= new Set()
    exchange.otherHosts.add(host)
  }
}

/** Whether a call was sent to a host, in an earlier attempt or in one that is under way. */
export function hasTried({ firstHost, otherHosts }: Exchange, host: object): boolean {
  return host === firstHost || (otherHosts?.has(host) ?? false)
}
