import { show } from '../policies/options.ts'
import type { RetryRequest } from '../policies/retry.ts'
import type { ScopedOptions } from './exchange.ts'
import { requestOf } from './request-of.ts'

/** What is said, once, of a key function that fails. */
export interface KeyWarning {
  /** The layer that it was given to. */
  readonly layer: string
  /** What becomes of its calls then. */
  readonly otherwise: string
  readonly code: string
}

/** The key of a call, by a function of the user's; `null` where that throws, or gives something else than a string. */
export function keyOf(
  key: (request: RetryRequest) => string | undefined,
  opts: ScopedOptions,
  origin: string,
  warning: KeyWarning,
  mayBeNone = false,
): string | null {
  try {
    const found: unknown = key(requestOf(opts, origin))
    if (typeof found === 'string') return found
    if (found === undefined && mayBeNone) return null
    // One that fails later has nobody else to tell.
    if (found instanceof Promise) found.catch(() => undefined)
    throw new TypeError(`it gave no string but ${show(found)}`)
  } catch (error) {
    warnOnce(key, error, warning)
    return null
  }
}

// A function that throws would otherwise warn with every call.
const warned = new WeakSet<object>()

function warnOnce(key: object, error: unknown, { layer, otherwise, code }: KeyWarning): void {
  if (warned.has(key)) return
  warned.add(key)
  process.emitWarning(
    `The key function given to ${layer}() failed, and its calls ${otherwise}: ${error instanceof Error ? error : show(error)}`,
    { type: 'RoundtripperWarning', code },
  )
}
