import { MockAgent } from 'undici'
import { RecordingDispatcher } from './servers.ts'

/** What installFetch replaces. */
export const names = ['fetch', 'Request', 'Response', 'Headers', 'FormData'] as const

export type Descriptors = readonly (PropertyDescriptor | undefined)[]

export const descriptors = (): Descriptors => names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name))

export function restore(saved: Descriptors): void {
  for (const [at, name] of names.entries()) {
    const found = saved[at]
    if (found === undefined) Reflect.deleteProperty(globalThis, name)
    else Object.defineProperty(globalThis, name, found)
  }
}

/** Answers with its name, without a server. */
export function named(name: string): RecordingDispatcher {
  const mock = new MockAgent()
  mock.disableNetConnect()
  mock
    .get('http://mock.test')
    .intercept({ path: '/', method: () => true })
    .reply(200, name)
    .persist()
  return new RecordingDispatcher(mock)
}

export const ask = async (): Promise<string> => (await fetch('http://mock.test/')).text()
