import { type AgentOptions, createAgent, type PoolAgent } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { onTestFinished } from 'vitest'
import { Consumer, type Reactions } from '../contract/consumer.ts'

export function h2cAgent(options: AgentOptions = {}): PoolAgent {
  const agent = createAgent({ useH2c: true, ...options })
  onTestFinished(() => agent.destroy())
  return agent
}

export interface Sent {
  readonly path?: string
  readonly method?: Dispatcher.HttpMethod
  readonly body?: unknown
  readonly headers?: Dispatcher.DispatchOptions['headers']
  readonly on?: Reactions
  readonly [option: string]: unknown
}

/** Dispatches to the agent itself, without a layer. */
export function send(agent: Dispatcher, origin: string, { on, ...opts }: Sent = {}): Consumer {
  const consumer = new Consumer(on)
  agent.dispatch({ origin, path: '/', method: 'GET', ...opts } as Dispatcher.DispatchOptions, consumer)
  return consumer
}

/** What the consumer saw, and the code of the error it ended with. */
export async function outcomeOf(consumer: Consumer): Promise<(string | undefined)[]> {
  await consumer.over
  const { code } = (consumer.error ?? {}) as { code?: string }
  return code === undefined ? consumer.events : [...consumer.events, code]
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
