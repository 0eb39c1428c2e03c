import { BlockList, isIP } from 'node:net'

type Rule = (host: string, port: string) => boolean

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

function addressRule(entry: string, listed: BlockList): Rule {
  const [address = '', bits] = entry.split('/')
  if (bits === undefined) listed.addAddress(address, familyOf(address))
  else listed.addSubnet(address, Number(bits), familyOf(address))
  return (host) => isIP(host) !== 0 && listed.check(host, familyOf(host))
}

function nameRule(name: string): Rule {
  // `.example.com` and `*.example.com` are what lies below it, `example.com` is that and itself.
  const below = name.replace(/^\*?\./, '.')
  if (below.startsWith('.')) return (host) => host.endsWith(below)
  return (host) => host === name || host.endsWith(`.${name}`)
}

function withPort(rule: Rule, wanted: string): Rule {
  return (host, port) => port === wanted && rule(host, port)
}

function ruleOf(entry: string): Rule | null {
  if (entry === '*') return () => true
  if (isIP(entry) !== 0) return addressRule(entry, new BlockList())
  const [, subnet, bits] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? []
  if (subnet !== undefined) {
    const family = isIP(subnet)
    return family !== 0 && Number(bits) <= (family === 6 ? 128 : 32) ? addressRule(entry, new BlockList()) : null
  }
  const [, host = '', port] = /^(.+?)(?::(\d{1,5}))?$/.exec(entry) ?? []
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  const rule = isIP(bare) === 0 ? nameRule(bare) : addressRule(bare, new BlockList())
  return port === undefined ? rule : withPort(rule, port)
}

/** The host of a URL as rules are written: lower case, without brackets and without the dot at its end. */
export function hostOf({ hostname }: URL): string {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return host.endsWith('.') ? host.slice(0, -1) : host
}

/** The port of a URL, its scheme's where it names none. */
export function portOf({ port, protocol }: URL): string {
  return port || (protocol === 'https:' ? '443' : '80')
}

/** Which hosts are reached without a proxy, as `NO_PROXY` lists them: names, addresses, subnets, each perhaps with a port. */
export function readNoProxy(list: string): (url: URL) => boolean {
  const rules = list
    .toLowerCase()
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .map(ruleOf)
    .filter((rule) => rule !== null)
  return (url) => rules.some((rule) => rule(hostOf(url), portOf(url)))
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether a URL leads to this machine. */
export function isLoopback(url: URL): boolean {
  const host = hostOf(url)
  if (isIP(host) !== 0) return loopback.check(host, familyOf(host))
  return host === 'localhost' || host.endsWith('.localhost')
}
