import { Agent } from 'node:http'
import type { Readable } from 'node:stream'
import axios, { type AxiosRequestConfig } from 'axios'
import {
  connections,
  type Echo,
  type FetchClient,
  jsonType,
  keptIdle,
  lengthOf,
  posted,
  type Target,
  type User,
} from './client.ts'

/** With its adapter for Node. Proxies are off: it would look for one in the environment on each call. */
export default function overAxios({ origin, ca, secure }: Target): FetchClient {
  const httpAgent = new Agent({ keepAlive: true, maxSockets: connections })
  const api = axios.create({
    adapter: 'http',
    proxy: false,
    ...(secure ? { httpVersion: 2, http2Options: { ca, sessionTimeout: keptIdle } } : { httpAgent }),
  } as AxiosRequestConfig)
  const get = async <T>(path: string, responseType: AxiosRequestConfig['responseType']) =>
    (await api.get<T>(origin + path, { responseType: responseType as 'json' })).data
  return {
    calls: {
      text: async () => (await get<string>('/users', 'text')).length,
      json: async () => (await get<User>('/users', 'json')).name.length,
      stream: async () => lengthOf(await get<Readable>('/users', 'stream')),
      post: async () => (await api.post<Echo>(`${origin}/users`, posted, { headers: jsonType })).data.length,
      large: async () => (await get<Buffer>('/large', 'arraybuffer')).byteLength,
      largeStream: async () => lengthOf(await get<Readable>('/pieces', 'stream')),
    },
    close: async () => httpAgent.destroy(),
  }
}
