import { show } from '../policies/options.ts'
import type { CarriedRule } from './carried.ts'
import { checkOrigin } from './target.ts'

/**
 * Which origins a layer is meant for: origins (`https://api.example.com`), all hosts below a name
 * (`https://*.example.com`: at any depth, not the name itself), or a function of the origin.
 */
export type AllowedOrigins = readonly (string | URL)[] | ((origin: string) => boolean)

const any = '*.'

class ListedOrigins implements CarriedRule {
  private readonly exact = new Set<string>()
  // What an origin begins and ends with: scheme, and the name with its port.
  private readonly below: (readonly [scheme: string, suffix: string])[] = []

  constructor(option: string, given: readonly (string | URL)[]) {
    for (const one of given) {
      const origin = checkOrigin(option, one, 'http(s) origins')
      const { protocol, host } = new URL(origin)
      if (!host.includes('*')) {
        this.exact.add(origin)
        continue
      }
      const name = host.slice(any.length)
      if (!host.startsWith(any) || name.includes('*') || !name.includes('.')) {
        throw new TypeError(`${option} may have a star only for all hosts below a name, got ${show(String(one))}`)
      }
      this.below.push([`${protocol}//`, `.${name}`])
    }
  }

  allows(origin: string): boolean {
    if (this.exact.has(origin)) return true
    for (const [scheme, suffix] of this.below) if (origin.startsWith(scheme) && origin.endsWith(suffix)) return true
    return false
  }
}

// A function that throws would otherwise warn with every call.
const warned = new WeakSet<object>()

class AskedOrigins implements CarriedRule {
  private readonly ask: (origin: string) => boolean
  private readonly option: string

  constructor(option: string, ask: (origin: string) => boolean) {
    this.option = option
    this.ask = ask
  }

  allows(origin: string): boolean {
    try {
      const answer: unknown = this.ask(origin)
      return answer === true
    } catch (error) {
      this.warn(error)
      return false
    }
  }

  private warn(error: unknown): void {
    if (warned.has(this.ask)) return
    warned.add(this.ask)
    process.emitWarning(`The function given as ${this.option} failed, and nothing is sent along: ${error}`, {
      type: 'RoundtripperWarning',
      code: 'ROUNDTRIPPER_ORIGINS',
    })
  }
}

/** Checks a list of origins, or takes a function of them. `option` is what it was given as. */
export function checkAllowedOrigins(option: string, given: unknown): CarriedRule {
  if (typeof given === 'function') return new AskedOrigins(option, given as (origin: string) => boolean)
  if (!Array.isArray(given)) {
    throw new TypeError(`${option} must be an array of origins, or a function of an origin, got ${show(given)}`)
  }
  return new ListedOrigins(option, given)
}
