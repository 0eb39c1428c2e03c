import { type FetchClient, fetchCalls, type Target } from './client.ts'

/**
 * The global fetch that Node brings. Over HTTP/1.1 only: its own agent does not offer HTTP/2, and Node 22 and 24 refuse the
 * dispatchers of undici 8 that would.
 */
export default function nodeFetch({ origin }: Target): FetchClient {
  return { calls: fetchCalls(origin, globalThis.fetch), close: async () => {} }
}
