// What the page on the hosts of a group shows, run.
import { balance, compose, createAgent, createFetch, dnsHosts, type HostOptions, type HostSource } from 'roundtripper'
import type { TestServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it } from 'vitest'
import { serveDns } from '../dispatchers/dns-server.ts'
import { destroyed, serve } from './support.ts'

const two = (): Promise<[TestServer, TestServer]> => Promise.all([serve({ body: 'Ada' }), serve({ body: 'Ada' })])

it('hosts: a list', async () => {
  const [{ origin: small }, { origin: large }] = await two()
  // #region list
  const users = balance({
    name: 'users',
    hosts: [small, { origin: large, weight: 3 }],
  })
  const api = compose(createAgent(), users)
  const { body } = await request('http://users/7', { dispatcher: api })

  users.update({ hosts: [large] }) // calls to the other one come to their end
  // #endregion
  destroyed(api)
  expect(await body.text()).toBe('Ada')
  expect(Object.keys(users.state())).toEqual([large])
})

it('hosts: of Consul', async () => {
  const server = await serve({ body: 'Ada' })
  const entry = {
    Node: { Address: '127.0.0.1' },
    Service: { Address: '', Port: server.port, Weights: { Passing: 10, Warning: 1 } },
  }
  const consul = (await serve({ body: JSON.stringify([entry]) })).origin
  // #region consul
  interface Entry {
    readonly Node: { readonly Address: string }
    readonly Service: {
      readonly Address: string
      readonly Port: number
      readonly Weights: { readonly Passing: number }
    }
  }
  const consulFetch = createFetch(createAgent()) // not the chain whose hosts it looks up

  const users = balance({
    name: 'users',
    refresh: 10_000,
    hosts: async (): Promise<HostOptions[]> => {
      const response = await consulFetch(`${consul}/v1/health/service/users?passing`)
      if (!response.ok) throw new Error(`Consul answered ${response.status}`) // the hosts that are known stay
      const entries = (await response.json()) as Entry[]
      return entries.map(({ Node, Service }) => ({
        origin: `http://${Service.Address || Node.Address}:${Service.Port}`,
        weight: Service.Weights.Passing,
      }))
    },
  })
  // #endregion
  const api = destroyed(compose(createAgent(), users))
  const { body } = await request('http://users/7', { dispatcher: api })
  expect(await body.text()).toBe('Ada')
  expect(users.state()[server.origin]).toMatchObject({ weight: 10 })
})

it('hosts: by DNS', async () => {
  const server = await serve({ body: 'Ada' })
  const dns = await serveDns({ A: [['127.0.0.1', 30]] })
  const resolver = dns.resolver()
  const { port } = server
  // #region dns
  const users = balance({ hosts: dnsHosts(`http://users.internal:${port}`, { maxTtl: 10_000, resolver }) })
  const api = compose(createAgent(), users)
  const { body } = await request('http://users/7', { dispatcher: api }) // http://10.0.0.7:8080/7, host: users.internal:8080
  // #endregion
  destroyed(api)
  expect(await body.text()).toBe('Ada')
  expect(server.requests[0]?.headers.host).toBe(`users.internal:${port}`)
})

it('hosts: a source of your own', async () => {
  const { origin } = await serve({ body: 'Ada' })
  const registry = { lookUp: async () => ({ instances: [{ origin, load: 0 }], validForMs: 5_000 }) }
  // #region source
  const source: HostSource = {
    name: 'users', // in errors
    async resolve() {
      const { instances, validForMs } = await registry.lookUp()
      return { hosts: instances.map((instance) => instance.origin), ttl: validForMs }
    },
  }
  const users = balance({ hosts: source })
  // #endregion
  const api = destroyed(compose(createAgent(), users))
  const { body } = await request('http://users/7', { dispatcher: api })
  expect(await body.text()).toBe('Ada')
})
