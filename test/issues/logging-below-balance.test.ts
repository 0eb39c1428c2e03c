// Below a layer that sends calls on to another origin, logging() took a call for an attempt with the number 0: its records
// were those of attempts, and none said how many there were.
import { balance, type CallRecord, compose, createAgent, type Logger, logging } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { expect, it, onTestFinished } from 'vitest'
import { call } from '../dispatchers/retry-servers.ts'

it('below balance() a call is logged as a call', async () => {
  const server = await startServer({ protocol: 'h1c', respond: { body: 'a' } })
  onTestFinished(() => server.close())
  const records: CallRecord[] = []
  const write = (record: object) => void records.push(record as CallRecord)
  const logger: Logger = { debug: write, info: write, warn: write }
  const chain = compose(createAgent(), balance({ hosts: [server.origin] }), logging({ logger }))
  onTestFinished(() => chain.destroy())
  await call(chain, 'http://users/7')
  expect(records.map(({ attempt, attempts, host }) => ({ attempt, attempts, host }))).toEqual([
    { attempt: 1, attempts: undefined, host: server.origin },
    { attempt: undefined, attempts: 1, host: server.origin },
  ])
})
