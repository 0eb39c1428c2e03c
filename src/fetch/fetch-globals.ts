/** The globals that belong together: classes of one fetch are strangers to another's. */
const names = ['fetch', 'Request', 'Response', 'Headers', 'FormData'] as const

type GlobalName = (typeof names)[number]
type GlobalValues = Readonly<Record<GlobalName, unknown>>
type Descriptor = PropertyDescriptor | undefined

// Swaps that are not undone yet, from the oldest to the newest.
const swaps: GlobalSwap[] = []

// The swaps that are undone, by their fetch. Somebody who takes a patch off puts back what it was put over, and that may be
// such a fetch: what is meant then is what stood before it. Of a class nobody can tell, because all swaps have the same.
const undone = new WeakMap<object, GlobalSwap>()

function descriptorOf(name: GlobalName): Descriptor {
  return Object.getOwnPropertyDescriptor(globalThis, name)
}

function currentValue(found: Descriptor): unknown {
  return found?.get ? found.get.call(globalThis) : found?.value
}

function refuse(name: GlobalName, verb: string, why: string): never {
  throw new TypeError(`installFetch: globalThis.${name} cannot be ${verb}: it is ${why}`)
}

function checkReplaceable(name: GlobalName): void {
  const found = descriptorOf(name)
  if (found === undefined) {
    if (!Object.isExtensible(globalThis)) refuse(name, 'replaced', 'missing, and globalThis is not extensible')
  } else if (found.writable === false) {
    refuse(name, 'replaced', 'not writable')
  } else if (!found.configurable && found.writable === undefined) {
    refuse(name, 'replaced', 'a fixed accessor')
  }
}

function putBack(name: GlobalName, found: Descriptor): void {
  if (!descriptorOf(name)?.configurable) Reflect.set(globalThis, name, currentValue(found))
  else if (found === undefined) Reflect.deleteProperty(globalThis, name)
  else Object.defineProperty(globalThis, name, found)
}

/**
 * Where somebody has put back a fetch of ours that was undone meanwhile (and classes with it, as MSW does), puts there what
 * stood before it.
 */
export function putAwayUndone(): void {
  let put: GlobalSwap | undefined
  for (;;) {
    const swap = undoneOf(descriptorOf('fetch'))
    // The same again: it has been fixed there.
    if (swap === undefined || swap === put) return
    put = swap
    // While another swap lasts, the classes are that one's.
    for (const name of swaps.length === 0 ? names : (['fetch'] as const)) swap.putBack(name)
  }
}

function undoneOf(found: Descriptor): GlobalSwap | undefined {
  return undone.get(found?.value)
}

/**
 * One exchange of the globals, and its undoing. Only what is still ours is put back: what somebody else has put over it
 * stays. Swaps may be undone in any order.
 */
export class GlobalSwap {
  readonly #values: GlobalValues
  readonly #before = new Map<GlobalName, Descriptor>()

  /** @throws TypeError if one of the globals is fixed; then none has been changed. */
  constructor(values: GlobalValues) {
    putAwayUndone()
    for (const name of names) checkReplaceable(name)
    this.#values = values
    for (const name of names) {
      const found = descriptorOf(name)
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

  /** The fetch that stood there before this swap, leaving out those that have been undone since. */
  get fetchBefore(): unknown {
    const found = this.#before.get('fetch')
    // Some environments have their globals on a prototype, where ours only hid them.
    if (found === undefined) return Reflect.get(Object.getPrototypeOf(globalThis), 'fetch', globalThis)
    return undoneOf(found)?.fetchBefore ?? currentValue(found)
  }

  #isOurs(name: GlobalName): boolean {
    return descriptorOf(name)?.value === this.#values[name]
  }

  /** Puts back what stood there before this swap, where it is still ours. */
  putBack(name: GlobalName): void {
    if (this.#isOurs(name)) putBack(name, this.#before.get(name))
  }

  /**
   * Called once, unless it throws.
   *
   * @throws TypeError if a global that is ours has been fixed since; then nothing is undone.
   */
  undo(): void {
    const position = swaps.indexOf(this)
    const above = swaps[position + 1]
    if (above === undefined) this.#checkRestorable()
    swaps.splice(position, 1)
    undone.set(this.#values.fetch as object, this)
    for (const name of names) {
      if (above === undefined) this.putBack(name)
      else if (above.#before.get(name)?.value === this.#values[name]) above.#before.set(name, this.#before.get(name))
    }
    putAwayUndone()
  }

  #checkRestorable(): void {
    for (const name of names) {
      const { configurable, writable } = descriptorOf(name) ?? {}
      if (this.#isOurs(name) && !configurable && !writable) refuse(name, 'put back', 'fixed since')
    }
  }
}
