import type { Dispatcher } from 'undici'

let lastGiven: unknown
let lastOrigin = ''

// Where calls are sent on to other origins, each has several. Those that a service calls are few; a bounded map spares the
// parser, which costs more than a layer.
const knownOrigins = new Map<string, string>()
const mostKnownOrigins = 1024

function parsed(given: string): string {
  const known = knownOrigins.get(given)
  if (known !== undefined) return known
  const origin = URL.parse(given)?.origin ?? given
  if (knownOrigins.size >= mostKnownOrigins) knownOrigins.clear()
  knownOrigins.set(given, origin)
  return origin
}

/** `opts.origin` as the text every per-origin state is kept under: scheme, host and port, nothing else. */
export function originOf(opts: Dispatcher.DispatchOptions): string {
  const given = opts.origin
  if (given === lastGiven) return lastOrigin
  if (given === undefined || given === null) return ''
  let origin: string
  if (typeof given === 'string') {
    origin = parsed(given)
    lastGiven = given
    lastOrigin = origin
  } else {
    // Whatever else was given, the check at the edge has yet to see it.
    origin = String((given as Partial<URL>).origin ?? given)
  }
  return origin
}
