import type { Dispatcher } from 'undici'

let lastGiven: unknown
let lastOrigin = ''

/** `opts.origin` as the text every per-origin state is kept under: scheme, host and port, nothing else. */
export function originOf(opts: Dispatcher.DispatchOptions): string {
  const given = opts.origin
  if (given === lastGiven) return lastOrigin
  if (given === undefined || given === null) return ''
  let origin: string
  if (typeof given === 'string') {
    origin = URL.parse(given)?.origin ?? given
    lastGiven = given
    lastOrigin = origin
  } else {
    // Whatever else was given, the check at the edge has yet to see it.
    origin = String((given as Partial<URL>).origin ?? given)
  }
  return origin
}
