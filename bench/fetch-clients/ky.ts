import ky from 'ky'
import { type FetchClient, fetchCalls, type Target } from './client.ts'

/** Over Node's own fetch, and so over HTTP/1.1. */
export default function overKy({ origin }: Target): FetchClient {
  const api = ky.create({ retry: 0, timeout: false })
  return { calls: fetchCalls(origin, api), close: async () => {} }
}
