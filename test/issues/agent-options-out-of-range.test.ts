// Options that HTTP/2 has no room for were taken, and the first connection then threw where nobody could catch it.
import { createAgent } from 'roundtripper'
import { expect, it } from 'vitest'

it.each([
  ['initialWindowSize', 2 ** 31],
  ['connectionWindowSize', 2 ** 31],
  ['maxHeaderSize', -1],
  ['maxHeaderSize', 1.5],
  ['maxHeaderSize', 2 ** 32],
  ['maxResponseSize', -2],
  ['maxResponseSize', 1.5],
])('%s: %d is refused by createAgent', (name, value) => {
  expect(() => createAgent({ [name]: value })).toThrow(RangeError)
  expect(() => createAgent({ [name]: value })).toThrow(`createAgent: ${name} must be`)
})

it('the largest windows are taken', async () => {
  const largest = 2 ** 31 - 1
  const agent = createAgent({ initialWindowSize: largest, connectionWindowSize: largest, maxResponseSize: -1 })
  await agent.close()
})
