/**
 * Throws on a stack of its own: what somebody else's code threw is uncaught, as it would be without us, and whoever called it
 * has others to see to.
 */
export function throwLater(thrown: unknown): void {
  queueMicrotask(() => {
    throw thrown
  })
}
