/** What is needed of `process` to follow its signals. */
export type SignalTarget = Pick<NodeJS.Process, 'kill' | 'listenerCount' | 'pid' | 'prependListener' | 'removeListener'>

/** What a signal sets off. Neither promise may reject. */
export interface Flushable {
  flush(): Promise<void>
  shutdown(): Promise<void>
}

/**
 * Flushes on SIGTERM, then lets the signal go on as it would have: where nobody else listens it is raised again, which
 * ends the process by it; where the application listens, ending is left to the application, which may go on making
 * spans until then. A second SIGTERM is never held up. Returns an undo.
 */
export function flushOnTermination(telemetry: Flushable, target: SignalTarget = process): () => void {
  const stop = () => {
    target.removeListener('SIGTERM', onSignal)
  }

  function onSignal(signal: NodeJS.Signals): void {
    const alone = target.listenerCount('SIGTERM') === 1
    // Taken off before the others run: signal-exit and its like raise the signal again only if all listeners are theirs.
    stop()
    if (alone) {
      void telemetry.shutdown().then(() => setImmediate(raise, signal))
    } else {
      void telemetry.flush()
    }
  }

  // A turn later than the flush, so that a warning about it is still printed.
  const raise = (signal: NodeJS.Signals) => {
    target.kill(target.pid, signal)
  }

  // First in line, because a listener added with `once` is gone from the count when it has run.
  target.prependListener('SIGTERM', onSignal)
  return stop
}
