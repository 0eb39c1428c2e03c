import { getEventListeners } from 'node:events'
import { gate } from '../../../../src/testing/index.ts'
import { area, type Case } from '../case.ts'
import { attempt, outcome, rejection, settled } from '../observe.ts'

const own = new RangeError('enough')
const part = { body: ['first part'], hang: 'body' } as const

const cases: Case[] = [
  {
    name: 'AbortSignal.abort()',
    run: (fetch, env) => {
      const signal = AbortSignal.abort()
      return rejection(fetch(env.url('/a'), { signal }), signal)
    },
  },
  {
    name: 'AbortSignal.timeout before the head',
    run: (fetch, env) => {
      env.on('/a', { hang: 'head' })
      const signal = AbortSignal.timeout(60)
      env.forgetRequests()
      return rejection(fetch(env.url('/a'), { signal }), signal)
    },
  },
  {
    name: 'AbortSignal.timeout in the body',
    run: async (fetch, env) => {
      env.on('/a', part)
      const signal = AbortSignal.timeout(2_000)
      const end = await settled(fetch(env.url('/a'), { signal }).then((response) => rejection(response.text(), signal)))
      return end
    },
  },
  {
    name: 'AbortSignal.any',
    run: async (fetch, env) => {
      const controller = new AbortController()
      const signal = AbortSignal.any([new AbortController().signal, controller.signal])
      env.on('/a', { hang: 'head' })
      const call = rejection(fetch(env.url('/a'), { signal }), signal)
      await env.arrival('/a')
      controller.abort(own)
      return call
    },
  },
  {
    name: 'the signal of a Request',
    run: async (fetch, env) => {
      const controller = new AbortController()
      env.on('/a', { hang: 'head' })
      const request = new env.classes.Request(env.url('/a'), { signal: controller.signal })
      const call = rejection(fetch(request), controller.signal)
      await env.arrival('/a')
      controller.abort(own)
      return [await call, Object.is(request.signal.reason, own)]
    },
  },
  {
    name: "the signal of the runtime's Request",
    run: async (fetch, env) => {
      const controller = new AbortController()
      env.on('/a', { hang: 'head' })
      const request = new env.runtime.Request(env.url('/a'), { signal: controller.signal })
      const call = rejection(fetch(request), controller.signal)
      await env.arrival('/a')
      controller.abort(own)
      return call
    },
  },
  {
    name: 'the signal of init takes the place of the Request’s: its own is deaf',
    run: async (fetch, env) => {
      const [one, two] = [new AbortController(), new AbortController()]
      env.on('/a', { hang: 'head' })
      const request = new env.classes.Request(env.url('/a'), { signal: one.signal })
      const call = rejection(fetch(request, { signal: two.signal }), two.signal)
      await env.arrival('/a')
      one.abort('deaf')
      two.abort(own)
      return call
    },
  },
  {
    name: 'signal null takes the signal of a Request away',
    run: async (fetch, env) => {
      const controller = new AbortController()
      const held = gate()
      env.on('/a', { hold: held.promise, body: 'came' })
      const request = new env.classes.Request(env.url('/a'), { signal: controller.signal })
      const call = outcome(fetch, request, { signal: null })
      await env.arrival('/a')
      controller.abort(own)
      held.open()
      return call
    },
  },
  {
    name: 'one signal for many calls, at different moments',
    run: async (fetch, env) => {
      const controller = new AbortController()
      const { signal } = controller
      env.on('/head', { hang: 'head' })
      env.on('/body', part)
      const done = await (await fetch(env.url('/done'), { signal })).text()
      const body = await fetch(env.url('/body'), { signal })
      const head = rejection(fetch(env.url('/head'), { signal }), signal)
      const text = rejection(body.text(), signal)
      await env.arrival('/head')
      controller.abort(own)
      return [done, await head, await text, await rejection(fetch(env.url('/late'), { signal }), signal)]
    },
  },
  {
    name: 'forty calls on one signal raise no warning',
    run: async (fetch, env) => {
      const warnings: string[] = []
      const listen = (warning: Error) => warnings.push(warning.name)
      process.on('warning', listen)
      const controller = new AbortController()
      const { signal } = controller
      env.on('/a', { hang: 'head' })
      const calls = Array.from({ length: 40 }, () => rejection(fetch(env.url('/a'), { signal }), signal))
      await env.arrival('/a')
      controller.abort(own)
      const ends = new Set((await Promise.all(calls)).map((end) => JSON.stringify(end)))
      await new Promise(setImmediate)
      process.off('warning', listen)
      env.forgetRequests()
      return [[...ends], warnings]
    },
  },
  {
    name: 'a listener of the caller comes before the rejection',
    run: async (fetch, env) => {
      const events: string[] = []
      const controller = new AbortController()
      env.on('/a', { hang: 'head' })
      const call = fetch(env.url('/a'), { signal: controller.signal }).catch(() => events.push('rejected'))
      controller.signal.addEventListener('abort', () => events.push('abort'))
      await env.arrival('/a')
      controller.abort()
      events.push('after abort()')
      await call
      return events
    },
  },
  {
    name: 'the signal is free after the body has been read',
    run: async (fetch, env) => {
      const { signal } = new AbortController()
      await (await fetch(env.url('/a'), { signal })).text()
      await new Promise(setImmediate)
      return getEventListeners(signal, 'abort').length <= 1
    },
  },
  {
    name: 'an onabort of the caller is kept',
    run: async (fetch, env) => {
      const controller = new AbortController()
      let told = 0
      controller.signal.onabort = () => {
        told++
      }
      env.on('/a', { hang: 'head' })
      const call = rejection(fetch(env.url('/a'), { signal: controller.signal }), controller.signal)
      await env.arrival('/a')
      controller.abort()
      return [await call, told]
    },
  },
  {
    name: 'abort in a listener of another signal',
    run: async (fetch, env) => {
      const [one, two] = [new AbortController(), new AbortController()]
      one.signal.addEventListener('abort', () => two.abort('chained'))
      env.on('/a', { hang: 'head' })
      const call = rejection(fetch(env.url('/a'), { signal: two.signal }), two.signal)
      await env.arrival('/a')
      one.abort()
      return call
    },
  },
  {
    name: 'dispatchEvent alone',
    run: async (fetch, env) => {
      const { signal } = new AbortController()
      const held = gate()
      env.on('/a', { hold: held.promise, body: 'came' })
      const call = settled(fetch(env.url('/a'), { signal }).then((response) => response.status))
      await env.arrival('/a')
      const thrown = await attempt(() => signal.aborted)
      held.open()
      return [thrown, await call]
    },
  },
  {
    name: 'the neighbour on the same connection goes on',
    run: async (fetch, env) => {
      const controller = new AbortController()
      const held = gate()
      env.on('/a', { hang: 'head' })
      env.on('/b', { hold: held.promise, body: 'came' })
      const lost = rejection(fetch(env.url('/a'), { signal: controller.signal }), controller.signal)
      await env.arrival('/a')
      const kept = outcome(fetch, env.url('/b'))
      await env.arrival('/b')
      controller.abort(own)
      const end = await lost
      held.open()
      return [end, await kept]
    },
  },
]

export const signals = area('signals', cases)
