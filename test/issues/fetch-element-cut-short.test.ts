// A body that ended within an element of the reader's array (five bytes, read as 32-bit numbers) threw into the layer
// below: logs and spans took the call for an invalid one, and its signal held on to it.
import { getEventListeners } from 'node:events'
import { expect, it } from 'vitest'
import { compose } from '../../src/dispatchers/compose.ts'
import { type CallRecord, logging } from '../../src/dispatchers/logging.ts'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { gate } from '../../src/testing/index.ts'
import { protocols, serve } from '../fetch/servers.ts'

it.each(protocols)('a body that ends within an element fails its reader only, HTTP/$version', async ({ protocol }) => {
  const rest = gate()
  const { server, agent } = await serve({ protocol, respond: { body: ['1234', rest.promise, '5'] } })
  const records: CallRecord[] = []
  const note = (record: object) => records.push(record as CallRecord)
  const fetch = createFetch(compose(agent, logging({ logger: { debug: note, info: note, warn: note } })))
  const { signal } = new AbortController()
  const { body } = await fetch(server.url(), { signal })
  const reader = (body as ReadableStream<Uint8Array>).getReader({ mode: 'byob' })

  const { value } = await reader.read(new Uint32Array(2))
  expect(Buffer.from((value as Uint32Array).buffer, 0, 4).toString()).toBe('1234')
  const second = reader.read(new Uint32Array(2))
  rest.open()

  await expect(second).rejects.toBeInstanceOf(TypeError)
  await new Promise(setImmediate)
  expect(records.at(-1)?.outcome).toBe('success')
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
