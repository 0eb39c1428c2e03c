import { type Dispatcher, type RequestInfo, type RequestInit, fetch as undiciFetch } from 'undici'
import type { CallOptions } from '../dispatchers/exchange.ts'
import { fetchArguments } from './delegated-arguments.ts'
import { CallDispatcher } from './delegated-dispatcher.ts'
import type { Members } from './request.ts'

let delegated = 0

/**
 * How many calls of this process's fetches were handed on to undici's own: `data:`, `blob:` and `about:` URLs, calls with
 * `integrity`, and those that end in an error before anything is sent.
 */
export function delegatedCalls(): number {
  return delegated
}

/** What an init that is none comes to: undici rejects with the error that the standard asks for. */
export async function delegateInvalid(input: unknown, init: unknown): Promise<Response> {
  delegated++
  return (await undiciFetch(input as RequestInfo, init as RequestInit)) as unknown as Response
}

/** Leaves a call to undici's fetch. */
export async function delegate(
  givenInput: unknown,
  given: Members,
  dispatcher: Dispatcher,
  resilience: CallOptions | undefined,
): Promise<Response> {
  delegated++
  const { input, init, form } = fetchArguments(givenInput, given)
  const call = new CallDispatcher(dispatcher, form, resilience)
  return (await undiciFetch(input, { ...init, dispatcher: call as unknown as Dispatcher })) as unknown as Response
}
