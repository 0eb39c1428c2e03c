/** The globals that belong together: classes of one fetch are strangers to another's. */
const names = ['fetch', 'Request', 'Response', 'Headers', 'FormData'] as const

type GlobalName = (typeof names)[number]
type GlobalValues = Readonly<Record<GlobalName, unknown>>

// Swaps that are not undone yet, from the oldest to the newest.
const swaps: GlobalSwap[] = []

function refuse(name: GlobalName, why: string): never {
  throw new TypeError(`installFetch: globalThis.${name} cannot be replaced: it is ${why}`)
}

function checkGlobals(): void {
  for (const name of names) {
    const found = Object.getOwnPropertyDescriptor(globalThis, name)
    if (found === undefined) {
      if (!Object.isExtensible(globalThis)) refuse(name, 'missing, and globalThis is not extensible')
    } else if (found.writable === false) {
      refuse(name, 'not writable')
    } else if (!found.configurable && found.writable === undefined) {
      refuse(name, 'a fixed accessor')
    }
  }
}

/**
 * One exchange of the globals, and its undoing. Only what is still ours is put back: what somebody else has put over it
 * stays. Swaps may be undone in any order.
 */
export class GlobalSwap {
  readonly #values: GlobalValues
  readonly #before = new Map<GlobalName, PropertyDescriptor | undefined>()

  /** @throws TypeError if one of the globals is fixed; then none has been changed. */
  constructor(values: GlobalValues) {
    checkGlobals()
    this.#values = values
    for (const name of names) {
      const found = Object.getOwnPropertyDescriptor(globalThis, name)
      this.#before.set(name, found)
      Object.defineProperty(globalThis, name, {
        value: values[name],
        writable: true,
        enumerable: found?.enumerable ?? false,
        configurable: found?.configurable ?? true,
      })
    }
    swaps.push(this)
  }

  /** What stood in place of `name` before this swap. */
  before(name: GlobalName): unknown {
    const found = this.#before.get(name)
    return found?.get ? found.get.call(globalThis) : found?.value
  }

  /** Called once. */
  undo(): void {
    const position = swaps.indexOf(this)
    swaps.splice(position, 1)
    const above = swaps[position]
    for (const name of names) {
      if (above === undefined) this.#restore(name)
      else if (above.#before.get(name)?.value === this.#values[name]) above.#before.set(name, this.#before.get(name))
    }
  }

  #restore(name: GlobalName): void {
    const now = Object.getOwnPropertyDescriptor(globalThis, name)
    if (now === undefined || now.value !== this.#values[name]) return
    const found = this.#before.get(name)
    if (found === undefined) Reflect.deleteProperty(globalThis, name)
    else Reflect.defineProperty(globalThis, name, found)
  }
}
