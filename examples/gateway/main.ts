// A gateway before three services on HTTP/2 over TLS, one of them with a bad host, one with weights, one with a canary:
// `npm run example -- gateway` calls it for some seconds; with `--serve` it stays, for `curl http://127.0.0.1:8080/orders/1`.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { seededRandom } from 'roundtripper/testing'
import { gatewayChain } from './chain.ts'
import { gatewayServer } from './gateway.ts'
import { HostTable } from './hosts.ts'
import { callFor } from './load.ts'
import { gatewayPhases } from './phases.ts'
import { startServices } from './services.ts'

const seed = 533
const serves = process.argv.includes('--serve')

const services = await startServices(seed)
const random = seededRandom(seed)
const parts = gatewayChain(services, random.next)
const server = gatewayServer(parts.chain)
server.listen(serves ? 8080 : 0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

if (serves) {
  services.orders[2].mood = 'errors'
  console.log(`A gateway at ${url}/orders/1, ${url}/users/1 and ${url}/catalog/1. The host orders-3 is out of order.`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
} else {
  const table = new HostTable(services, parts)
  for (const { what, mood, duration } of gatewayPhases) {
    services.orders[2].mood = mood
    const { calls, failed } = await callFor(duration, url, random)
    console.log(`${what}\n${calls} calls, ${failed} failed\n${table.lines().join('\n')}\n`)
    table.turn()
  }
}

server.close()
server.closeAllConnections()
await parts.chain.close()
await services.close()
