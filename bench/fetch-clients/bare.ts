import { createAgent, createFetch } from 'roundtripper'
import { connections, type FetchClient, fetchCalls, keptIdle, type Target } from './client.ts'

/** The kit's fetch on the kit's agent, with no layer between. */
export default function bare({ origin, ca }: Target): FetchClient {
  const agent = createAgent({ connections, keepAliveTimeout: keptIdle, connect: { ca } })
  return { calls: fetchCalls(origin, createFetch(agent)), close: () => agent.close() }
}
