import { MockAgent } from 'undici'
import { afterEach, beforeEach, expect } from 'vitest'
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

/** Each test of the file must end with the globals it began with; `tell` is told of them before each. */
export function keepsGlobals(tell?: (original: Descriptors) => void): void {
  let original: Descriptors
  beforeEach(() => {
    original = descriptors()
    tell?.(original)
  })
  afterEach(() => {
    const left = descriptors()
    restore(original)
    expect(left).toEqual(original)
  })
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
