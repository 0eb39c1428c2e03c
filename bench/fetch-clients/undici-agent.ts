import { Agent } from 'undici'
import { connections, keptIdle, type Target } from './client.ts'

/** undici's agent with the options of the kit's. */
export function undiciAgent({ ca }: Target): Agent {
  const connect = { ca, allowH2: true, preferH2: true }
  return new Agent({ connections, keepAliveTimeout: keptIdle, allowH2: true, connect } as Agent.Options)
}
