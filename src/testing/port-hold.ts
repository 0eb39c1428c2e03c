import { type AddressInfo, connect, createServer } from 'node:net'

/**
 * Keeps a port of 127.0.0.1 that nobody listens on from being handed to another server or caller, by holding a
 * connection that leaves from it. Where the system does not allow that, the port is merely not held.
 *
 * @returns what lets go of it, and resolves when it is free
 */
export async function holdPort(port: number): Promise<() => Promise<void>> {
  const anchor = createServer((socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve) => {
    anchor.listen(0, '127.0.0.1', resolve)
  })
  const { port: anchorPort } = anchor.address() as AddressInfo
  const holder = connect({ host: '127.0.0.1', port: anchorPort, localAddress: '127.0.0.1', localPort: port })
  await new Promise<void>((resolve) => {
    holder.once('connect', resolve)
    holder.on('error', () => resolve())
  })
  return () =>
    new Promise((resolve) => {
      anchor.close(() => resolve())
      // RST: the port must not linger in TIME_WAIT.
      holder.resetAndDestroy()
    })
}
