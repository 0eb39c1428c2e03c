import { Agent } from 'node:http'
import got from 'got'
import {
  connections,
  type Echo,
  type FetchClient,
  jsonType,
  lengthOf,
  posted,
  type Target,
  type User,
} from './client.ts'

export default function overGot({ origin, ca, secure }: Target): FetchClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const api = got.extend({
    retry: { limit: 0 },
    ...(secure ? { http2: true, https: { certificateAuthority: ca } } : { agent: { http: agent } }),
  })
  return {
    calls: {
      text: async () => (await api(`${origin}/users`).text()).length,
      json: async () => (await api(`${origin}/users`).json<User>()).name.length,
      stream: () => lengthOf(api.stream(`${origin}/users`)),
      post: async () => (await api.post(`${origin}/users`, { headers: jsonType, body: posted }).json<Echo>()).length,
      large: async () => (await api(`${origin}/large`).buffer()).byteLength,
      largeStream: () => lengthOf(api.stream(`${origin}/pieces`)),
    },
    close: async () => agent.destroy(),
  }
}
