import type { Socket } from 'node:net'

/** What is known of the connections that are open to one origin. */
export interface PeerInfo {
  /** ALPN's answer, or `'http/1.1'`; `undefined` where connections to the origin speak different protocols. */
  readonly alpn: string | undefined
  /** The address connected to; `undefined` where there are several. */
  readonly address: string | undefined
  readonly port: number | undefined
}

interface OpenPeer {
  readonly alpn: string
  readonly address: string | undefined
  readonly port: number | undefined
}

// undici tells a handler nothing of the socket it was given. The agent's connector sees every socket, so what all open
// sockets of an origin have in common is certain, and costs nothing per call. Bounded by the sockets that are open.
const open = new Map<string, Set<OpenPeer>>()
const agreed = new Map<string, PeerInfo>()

function agree(origin: string, peers: Set<OpenPeer>): void {
  const [first, ...others] = peers
  if (first === undefined) return
  const sameAlpn = others.every((peer) => peer.alpn === first.alpn)
  const sameAddress = others.every((peer) => peer.address === first.address && peer.port === first.port)
  agreed.set(origin, {
    alpn: sameAlpn ? first.alpn : undefined,
    address: sameAddress ? first.address : undefined,
    port: sameAddress ? first.port : undefined,
  })
}

/** Notes a connected socket for as long as it is open. */
export function notePeer(origin: string, socket: Socket & { alpnProtocol?: string | false | null }): void {
  const peer: OpenPeer = {
    alpn: socket.alpnProtocol || 'http/1.1',
    address: socket.remoteAddress,
    port: socket.remotePort,
  }
  const peers = open.get(origin) ?? new Set()
  open.set(origin, peers.add(peer))
  agree(origin, peers)
  socket.once('close', () => {
    peers.delete(peer)
    if (peers.size === 0) {
      open.delete(origin)
      agreed.delete(origin)
    } else {
      agree(origin, peers)
    }
  })
}

/** What the open connections to `origin`, made by agents of `createAgent`, agree on. */
export function peerOf(origin: string): PeerInfo | undefined {
  return agreed.get(origin)
}
