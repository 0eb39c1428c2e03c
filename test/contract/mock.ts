// What the test server answers, as far as undici's MockAgent can say it.
import { MockAgent } from 'undici'
import { largeBytes } from './ground.ts'
import { oddError } from './odd.ts'
import { type Scenario, scenarios } from './scenarios.ts'

/** A mock that answers the paths of the scenarios, for any origin given. */
export function mockOf(origin: string): MockAgent {
  const agent = new MockAgent()
  agent.disableNetConnect()
  const pool = agent.get(origin)
  const on = (path: string) => pool.intercept({ path: (given) => given.startsWith(path), method: () => true })
  on('/get')
    .reply(200, 'hello', { headers: { 'x-tell': 'told' } })
    .persist()
  on('/empty').reply(204, '').persist()
  on('/unchanged').reply(304, '').persist()
  on('/refused').reply(403, 'no').persist()
  on('/echo').reply(200, 'hello').persist()
  on('/trailers')
    .reply(200, 'hello', { trailers: { 'x-sum': '5' }, headers: { date: 'today' } })
    .persist()
  on('/large').reply(200, Buffer.alloc(largeBytes, 'x')).persist()
  // Longer than any test: only an abort ends it.
  on('/hang').reply(200, 'late').delay(60_000).persist()
  on('/reset').replyWithError(oddError).persist()
  return agent
}

// It knows no 1xx, no upgrade and no CONNECT, hands a body over in one piece whether it is held back or not, and hands
// over an empty piece where there is none.
const beyond = new Set(['/early', '/tunnel', '/cut', '/hang-body', 'example.com:443', '/large'])

function withData(scenario: Scenario): Scenario {
  const { expect } = scenario
  const head = expect.findIndex((event) => event.startsWith('head'))
  const ends = expect[head + 1] === 'end'
  return ends ? { ...scenario, expect: [...expect.slice(0, head + 1), 'data', 'end'] } : scenario
}

/** The scenarios that a mock can play. */
export const mockScenarios = scenarios
  .filter(
    ({ path, name }) =>
      !beyond.has(path) && name !== 'HEAD' && name !== 'abort before the head' && !path.startsWith('/odd/never'),
  )
  .map(withData)
