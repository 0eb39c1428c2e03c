/** The globals that belong together: classes of one fetch are strangers to another's. */
const names = ['fetch', 'Request', 'Response', 'Headers', 'FormData'] as const

type GlobalName = (typeof names)[number]
type GlobalValues = Readonly<Record<GlobalName, unknown>>
type Descriptor = PropertyDescriptor | undefined

// Swaps that are not undone yet, from the oldest to the newest.
const swaps: GlobalSwap[] = []

// What stood before a fetch whose swap is undone. Somebody who takes a patch off puts back what it was put over, and that
// may be such a fetch: what is meant then is what stood before it. (The classes are the same in every swap.)
const beforeUndone = new WeakMap<object, { readonly descriptor: Descriptor }>()

function descriptorOf(name: GlobalName): Descriptor {
  return Object.getOwnPropertyDescriptor(globalThis, name)
}

function currentValue(found: Descriptor): unknown {
  return found?.get ? found.get.call(globalThis) : found?.value
}

/** `found`, or where that is a fetch that has been undone, what stood before it. */
function standing(found: Descriptor): Descriptor {
  let undone = beforeUndone.get(found?.value)
  while (undone !== undefined) {
    found = undone.descriptor
    undone = beforeUndone.get(found?.value)
  }
  return found
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
 * One exchange of the globals, and its undoing. Only what is still ours is put back: what somebody else has put over it
 * stays. Swaps may be undone in any order.
 */
export class GlobalSwap {
  readonly #values: GlobalValues
  readonly #before = new Map<GlobalName, Descriptor>()

  /** @throws TypeError if one of the globals is fixed; then none has been changed. */
  constructor(values: GlobalValues) {
    for (const name of names) checkReplaceable(name)
    this.#values = values
    for (const name of names) {
      const found = descriptorOf(name)
      this.#before.set(name, standing(found))
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
    return currentValue(standing(this.#before.get('fetch')))
  }

  /**
   * Called once, unless it throws.
   *
   * @throws TypeError if a global that is ours has been fixed since; then nothing is undone.
   */
  undo(): void {
    const position = swaps.indexOf(this)
    const above = swaps[position + 1]
    const ours = names.filter((name) => descriptorOf(name)?.value === this.#values[name])
    for (const name of above === undefined ? ours : []) {
      const { configurable, writable } = descriptorOf(name)!
      if (!configurable && !writable) refuse(name, 'put back', 'fixed since')
    }
    swaps.splice(position, 1)
    beforeUndone.set(this.#values.fetch as object, { descriptor: this.#before.get('fetch') })
    const now = descriptorOf('fetch')
    if (standing(now) !== now) putBack('fetch', standing(now))
    for (const name of names) {
      if (name === 'fetch') continue
      const before = this.#before.get(name)
      if (above === undefined) {
        if (ours.includes(name)) putBack(name, before)
      } else if (above.#before.get(name)?.value === this.#values[name]) {
        above.#before.set(name, before)
      }
    }
  }
}
