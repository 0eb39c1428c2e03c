import fc from 'fast-check'
import * as undici from 'undici'
import { expect, it } from 'vitest'
import { installFetch } from '../../src/fetch/install-fetch.ts'
import { holds } from '../policies/fixtures.ts'
import { ask, descriptors, named, restore } from './globals.ts'

/** A fetch as the model knows it. What is below it is what stood there when it was put there. */
interface Layer {
  readonly name: string
  readonly kind: 'base' | 'ours' | 'patch'
  readonly below: Layer | undefined
  isUndone: boolean
}

/** What a call of it answers. */
function answerOf(layer: Layer): string {
  if (layer.kind === 'base') return layer.name
  if (layer.kind === 'patch') return `${layer.name}(${answerOf(layer.below!)})`
  return layer.isUndone ? answerOf(layer.below!) : layer.name
}

/** Leaves out what is ours and undone. */
function standing(layer: Layer): Layer {
  return layer.kind === 'ours' && layer.isUndone ? standing(layer.below!) : layer
}

class Model {
  readonly base: Layer = { name: 'base', kind: 'base', below: undefined, isUndone: false }
  readonly layers: Layer[] = []
  global = this.base

  put(kind: 'ours' | 'patch'): Layer {
    const below = kind === 'ours' ? standing(this.global) : this.global
    const layer = { name: `${kind}${this.layers.length}`, kind, below, isUndone: false }
    this.layers.push(layer)
    this.global = layer
    return layer
  }

  /** A stranger puts back what it found, whatever is there now. */
  takeOff(layer: Layer): void {
    layer.isUndone = true
    this.global = layer.kind === 'patch' ? layer.below! : standing(this.global)
  }

  get installed(): number {
    return this.layers.filter(({ kind, isUndone }) => kind === 'ours' && !isUndone).length
  }
}

/** The same on the real globals. Returns what takes it off again. */
function put({ kind, name }: Layer, isDefined: boolean): () => void {
  if (kind === 'ours') return installFetch(named(name))
  const found = Object.getOwnPropertyDescriptor(globalThis, 'fetch')!
  const inner = globalThis.fetch
  const patch: typeof fetch = async (input, init) => new Response(`${name}(${await (await inner(input, init)).text()})`)
  if (isDefined) Object.defineProperty(globalThis, 'fetch', { value: patch })
  else globalThis.fetch = patch
  return () => Object.defineProperty(globalThis, 'fetch', found)
}

// Where a number asks for a layer, it is taken modulo how many there are; some are taken off twice.
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ours' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('patch' as const), isDefined: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('takeOff' as const), which: fc.nat(20) }) },
)

it('keeps to a model of who stands over whom, whatever is put on and taken off in whatever order', async () => {
  const original = descriptors()
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 14 }),
    fc.infiniteStream(fc.nat(20)),
    async (steps, rest) => {
      const base: typeof fetch = async () => new Response('base')
      Object.defineProperty(globalThis, 'fetch', { value: base })
      const before = descriptors()
      const model = new Model()
      const undos: (() => void)[] = []

      const check = async () => {
        expect(await ask()).toBe(answerOf(model.global))
        // One of ours that was undone and that a stranger has put back steps aside when it is called.
        model.global = standing(model.global)
        // With the last of ours the classes go, and below the last of all is the very fetch of the beginning.
        expect(globalThis.Request === (undici.Request as unknown)).toBe(model.installed > 0)
        if (model.installed === 0) expect(descriptors().slice(1)).toEqual(before.slice(1))
        if (model.global === model.base) expect(descriptors()[0]).toEqual(before[0])
      }
      const takeOff = (at: number) => {
        const layer = model.layers[at]!
        // A second undo of ours does nothing; a stranger takes itself off once.
        if (!layer.isUndone) model.takeOff(layer)
        else if (layer.kind === 'patch') return
        undos[at]!()
      }

      try {
        for (const taken of steps) {
          if (taken.do !== 'takeOff') undos.push(put(model.put(taken.do), taken.do === 'patch' && taken.isDefined))
          else if (undos.length > 0) takeOff(taken.which % undos.length)
          await check()
        }
        while (model.layers.some(({ isUndone }) => !isUndone)) {
          takeOff(rest.next().value % undos.length)
          await check()
        }
      } finally {
        restore(original)
      }
    },
  )
  await holds('installFetch', property)
})
