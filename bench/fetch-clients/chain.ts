import { compose, createAgent, createFetch, standard } from 'roundtripper'
import { connections, type FetchClient, fetchCalls, keptIdle, type Target } from './client.ts'

/** The kit's fetch with the whole standard chain, untraced. */
export default function chain({ origin, ca }: Target): FetchClient {
  const agent = createAgent({ connections, keepAliveTimeout: keptIdle, connect: { ca } })
  const api = compose(agent, standard({ tracing: false }))
  return { calls: fetchCalls(origin, createFetch(api)), close: () => api.close() }
}
