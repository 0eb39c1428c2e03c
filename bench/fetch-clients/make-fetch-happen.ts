import { Agent } from 'node:http'
import makeFetchHappen, { type FetchOptions } from 'make-fetch-happen'
import { connections, type FetchClient, fetchCalls, type Target } from './client.ts'

/** Over HTTP/1.1, all that it speaks. Given Node's agent, since it looks up one of its own by the text of all options, for each call. */
export default function overMakeFetchHappen({ origin }: Target): FetchClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  // Its types want a timeout, which it does without.
  const fetch = makeFetchHappen.defaults({ agent, cache: 'no-store', retry: false } as FetchOptions)
  return {
    calls: fetchCalls(origin, (url, init) => fetch(url, init as FetchOptions)),
    close: async () => agent.destroy(),
  }
}
