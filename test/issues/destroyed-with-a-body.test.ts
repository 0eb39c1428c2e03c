// undici destroys the stream that it sends as a body with the very error that it fails the call with. When an agent was
// destroyed, the call was then judged as if the caller's body had failed.
import { Readable } from 'node:stream'
import { compose, createAgent, guard, type OutcomeKind } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it.each(['h1', 'h2'] as const)('46: a call that sends a stream is closed, not invalid, %s', async (protocol) => {
  const server = await startServer({ protocol })
  onTestFinished(() => server.close())
  const agent = createAgent({ connect: { ca: server.ca as string } })
  const kinds: OutcomeKind[] = []
  const watch = guard({ acquire: () => ({ settle: ({ kind }) => void kinds.push(kind) }) })
  const body = new Readable({ read() {} })
  body.push('begun')
  const sent = request(server.url(), { dispatcher: compose(agent, watch), method: 'PUT', body })
  const failed = expect(sent).rejects.toMatchObject({ code: 'UND_ERR_DESTROYED' })
  await server.until(() => server.requests.length === 1)
  await agent.destroy()
  await failed
  expect(kinds).toEqual(['closed'])
})
