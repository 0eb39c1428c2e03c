import { Agent, type Dispatcher, getGlobalDispatcher, setGlobalDispatcher, fetch as undiciFetch } from 'undici'
import { createAgent } from '../../../src/dispatchers/agent.ts'
import { compose } from '../../../src/dispatchers/compose.ts'
import { createFetch } from '../../../src/fetch/create-fetch.ts'
import { standard } from '../../../src/standard.ts'
import type { Fetch } from './case.ts'

export type SubjectName = 'over undici' | 'over the agent' | 'over the chain'

/** A fetch of ours, and what is below it. */
export interface Subject {
  readonly name: SubjectName
  /** Whether the chain below sends some requests again. */
  readonly retries: boolean
  dispatcher(ca: string | undefined): Dispatcher
}

// The whole chain; but faults of one case must not open the circuit for the next call of it, nor hold it up.
const layers = () =>
  standard({ retry: { backoff: { initialDelay: 1, jitter: 'none' } }, circuitBreaker: { minimumCalls: 1_000_000 } })

const connect = (ca: string | undefined) => (ca === undefined ? {} : { connect: { ca } })

export const subjects: readonly Subject[] = [
  { name: 'over undici', retries: false, dispatcher: (ca) => new Agent(connect(ca)) },
  { name: 'over the agent', retries: false, dispatcher: (ca) => createAgent(connect(ca)) },
  { name: 'over the chain', retries: true, dispatcher: (ca) => compose(createAgent(connect(ca)), layers()) },
]

/** undici's own fetch over undici's own agent: what all subjects are held to. */
export function referenceDispatcher(ca: string | undefined): Dispatcher {
  return new Agent(connect(ca))
}

/**
 * undici.fetch as it is: its dispatcher is the global one, which it takes within the call. One given in `init` would
 * count as a member of it, and change what becomes of a Request.
 */
export function referenceFetch(dispatcher: Dispatcher): Fetch {
  const fetch = undiciFetch as unknown as Fetch
  return (...given: unknown[]) => {
    const before = getGlobalDispatcher()
    setGlobalDispatcher(dispatcher)
    try {
      return fetch(...(given as [unknown, unknown]))
    } finally {
      setGlobalDispatcher(before)
    }
  }
}

export function ourFetch(dispatcher: Dispatcher): Fetch {
  return createFetch(dispatcher) as unknown as Fetch
}
