import { request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import { ProxyError } from '../policies/errors.ts'
import type { Connector, ConnectorOptions } from './connector.ts'
import { portOf } from './no-proxy.ts'
import type { HttpProxy } from './proxy-options.ts'

type Done = (error: Error | null, socket: Socket | null) => void

/** How connections through a proxy are made. */
export interface TunnelParts {
  /** To the proxy itself. */
  readonly toProxy: Connector
  /** TLS inside the tunnel; `null` where the origin has none. */
  readonly secure: Connector | null
  /** Milliseconds for all of it; 0: no bound. */
  readonly timeout: number
}

/** Where the connection to the proxy itself goes. */
export function addressOf(proxy: HttpProxy, { localAddress }: ConnectorOptions): ConnectorOptions {
  const { url } = proxy
  const { hostname } = url
  return {
    protocol: url.protocol,
    hostname: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
    host: url.host,
    port: portOf(url),
    localAddress,
  } as ConnectorOptions
}

/** One way through a proxy (RFC 9110 §9.3.6). */
class Tunnel {
  private readonly proxy: HttpProxy
  private readonly target: ConnectorOptions
  private readonly authority: string
  private readonly parts: TunnelParts
  private readonly done: Done
  private timer: NodeJS.Timeout | undefined
  private socket: Socket | null = null
  private over = false

  constructor(proxy: HttpProxy, target: ConnectorOptions, parts: TunnelParts, done: Done) {
    this.proxy = proxy
    this.target = target
    this.parts = parts
    this.done = done
    const { hostname, port, protocol } = target
    const host = hostname.includes(':') ? `[${hostname}]` : hostname
    this.authority = `${host}:${port || (protocol === 'https:' ? '443' : '80')}`
  }

  open(): Socket {
    const { timeout, toProxy } = this.parts
    if (timeout > 0) this.timer = setTimeout(() => this.late(timeout), timeout)
    const made = toProxy(addressOf(this.proxy, this.target), ((error: Error | null, socket: Socket | null) => {
      if (error !== null) this.fail('could not be reached', error)
      else if (!this.over) this.ask(socket as Socket)
      else socket?.destroy()
    }) as Parameters<Connector>[1]) as unknown as Socket
    this.socket = made
    return made
  }

  private late(timeout: number): void {
    this.fail(`gave no connection to ${this.authority} within ${timeout} ms`)
  }

  private fail(what: string, cause?: unknown, status?: number): void {
    const { protocol } = this.target
    const origin = `${protocol}//${this.target.host}`
    this.finish(new ProxyError(`The proxy ${this.proxy.shown} ${what}`, { origin, cause, status }), null)
  }

  private finish(error: Error | null, socket: Socket | null): void {
    if (this.over) {
      socket?.destroy()
      return
    }
    this.over = true
    clearTimeout(this.timer)
    if (error !== null) this.socket?.on('error', () => {}).destroy()
    this.done(error, socket)
  }

  private ask(socket: Socket): void {
    const request = httpRequest({
      method: 'CONNECT',
      path: this.authority,
      headers: { host: this.authority, connection: 'keep-alive', ...this.proxy.headers },
      createConnection: () => socket,
    })
    request
      .once('connect', (response, _socket, first) => {
        const status = response.statusCode as number
        if (status < 200 || status > 299) {
          const reason = response.statusMessage ? ` ${response.statusMessage}` : ''
          this.fail(`refused a connection to ${this.authority}: ${status}${reason}`, undefined, status)
          return
        }
        // What a server of HTTP/2 without TLS says first.
        if (first.length > 0) socket.unshift(first)
        this.go(socket)
      })
      .on('error', (error) => this.fail(`gave no connection to ${this.authority}`, error))
      .end()
  }

  private go(socket: Socket): void {
    const { secure } = this.parts
    if (this.over || secure === null) {
      this.finish(null, socket)
      return
    }
    secure(
      { ...this.target, httpSocket: socket } as ConnectorOptions,
      ((error: Error | null, made: Socket | null) => {
        this.finish(error, made)
      }) as Parameters<Connector>[1],
    )
  }
}

/** Makes a connection through `proxy`; returns its socket to it, whose destruction ends the attempt. */
export function openTunnel(proxy: HttpProxy, target: ConnectorOptions, parts: TunnelParts, done: Done): Socket {
  return new Tunnel(proxy, target, parts, done).open()
}
