// A gateway before three services on HTTP/2 over TLS, one of them with a bad host, one with weights, one with a canary:
// `npm run example -- gateway` calls it for some seconds; with `--serve` it stays, for `curl http://127.0.0.1:8080/orders/1`.
import { once } from 'node:events'
import { gatewayPhases, gatewaySettings } from './phases.ts'
import { Gateway } from './run.ts'

const seed = 533

if (process.argv.includes('--serve')) {
  const gateway = await Gateway.start(seed, 8080)
  const { url, services } = gateway
  services.orders[2].mood = 'errors'
  console.log(`A gateway at ${url}/orders/1, ${url}/users/1 and ${url}/catalog/1. The host orders-3 is out of order.`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await gateway.close()
} else {
  const gateway = await Gateway.start(seed)
  console.log(`A gateway at ${gateway.url}; with --serve it stays, at port 8080.\n${gatewaySettings}\n`)
  for (const phase of gatewayPhases) {
    const { calls, failed } = await gateway.play(phase)
    console.log(`${phase.what}\n${calls} calls, ${failed} failed\n${gateway.table.lines().join('\n')}\n`)
  }
  await gateway.close()
}
