import { fetch } from 'undici'
import { type FetchClient, fetchCalls, type Target } from './client.ts'
import { undiciAgent } from './undici-agent.ts'

export default function undiciFetch(target: Target): FetchClient {
  const dispatcher = undiciAgent(target)
  return {
    calls: fetchCalls(target.origin, (url, init) => fetch(url, { ...init, dispatcher })),
    close: () => dispatcher.close(),
  }
}
