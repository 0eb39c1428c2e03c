import { request } from 'undici'
import { type Echo, type FetchClient, jsonType, lengthOf, posted, type Target, type User } from './client.ts'
import { undiciAgent } from './undici-agent.ts'

export default function undiciRequest(target: Target): FetchClient {
  const { origin } = target
  const dispatcher = undiciAgent(target)
  const get = async (path: string) => (await request(origin + path, { dispatcher })).body
  return {
    calls: {
      text: async () => (await (await get('/users')).text()).length,
      json: async () => ((await (await get('/users')).json()) as User).name.length,
      stream: async () => lengthOf(await get('/users')),
      async post() {
        const options = { dispatcher, method: 'POST', headers: jsonType, body: posted } as const
        return ((await (await request(`${origin}/users`, options)).body.json()) as Echo).length
      },
      large: async () => (await (await get('/large')).arrayBuffer()).byteLength,
      largeStream: async () => lengthOf(await get('/pieces')),
    },
    close: () => dispatcher.close(),
  }
}
