// A dispatcher that answers when it is told to, no socket anywhere: until then the calls live, as those of a program do
// that waits for a server.

import { Dispatcher } from 'undici'
import { StubController, tellAnswer } from './stub.ts'

export class LaterDispatcher extends Dispatcher {
  #handlers: Dispatcher.DispatchHandler[] = []

  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#handlers.push(handler)
    return true
  }

  /** Answers all that wait. */
  answer(): void {
    const handlers = this.#handlers
    this.#handlers = []
    for (const handler of handlers) tellAnswer(handler, new StubController())
  }

  override close(): Promise<void> {
    return Promise.resolve()
  }

  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}
