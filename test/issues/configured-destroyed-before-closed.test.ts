// An upstream that had been destroyed by itself made close() of them all fail before it came to the agent, whose connections
// then stayed open; and close() after or during destroy(), as with `await using`, failed as well.
import { createFetch } from 'roundtripper'
import { fromConfig } from 'roundtripper/config'
import { startServer } from 'roundtripper/testing'
import { expect, it, onTestFinished } from 'vitest'

async function started() {
  const server = await startServer({ protocol: 'h1c', respond: { body: 'a' } })
  onTestFinished(() => server.close())
  const upstreams = { users: { hosts: [server.origin] }, search: { hosts: [server.origin] } }
  return { server, services: fromConfig({ upstreams }, { env: {} }) }
}

it('the agent is closed with upstreams of which one has been destroyed', async () => {
  const { server, services } = await started()
  await (await createFetch(services.upstreams.search)('http://search/')).text()
  expect(server.connections.open).toBe(1)
  await services.upstreams.users.destroy()
  await services.close()
  await server.until(() => server.connections.open === 0)
  expect(server.connections.open).toBe(0)
})

it('what is destroyed can be closed', async () => {
  const { services } = await started()
  const closing = services.close()
  await services.destroy()
  await closing
  await services.close()
  await services[Symbol.asyncDispose]()
  await expect(services.fetch('http://users/')).rejects.toThrow()
})
