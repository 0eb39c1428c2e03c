// A listener may give orders, and change options, while an order for all is carried out. What it said held for the circuits
// that had been told by then; the others were told the older one after it.
import { circuitBreaker, compose } from 'roundtripper'
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { call } from '../dispatchers/retry-servers.ts'

class Good extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: [],
      pause() {},
      resume() {},
      abort() {},
    }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    handler.onResponseEnd?.(controller, {})
    return true
  }
}

const origins = ['http://a.test', 'http://b.test', 'http://c.test']
const circuit = { state: 'closed', forced: null, openFor: 0, probeFor: 0, openings: 0, consecutiveFailures: 0 } as const
const snapshot = (one: object) =>
  ({ version: 1, origins: Object.fromEntries(origins.map((origin) => [origin, { ...circuit, ...one }])) }) as never

it('10: the latest order holds for all', () => {
  let told = 0
  const layer = circuitBreaker({
    onStateChange() {
      if (++told === 2) layer.force(null)
    },
  })
  layer.restore(snapshot({}))
  layer.force('open')
  expect(Object.values(layer.state()).map(({ forced, state }) => [forced, state])).toEqual(
    origins.map(() => [null, 'closed']),
  )
})

it('10: the latest options hold for all', async () => {
  let isFirst = true
  const layer = circuitBreaker({
    minimumCalls: 1,
    probes: 2,
    onStateChange({ reason }) {
      if (reason !== 'recovered' || !isFirst) return
      isFirst = false
      layer.update({ openFor: 1_000 })
    },
  })
  layer.restore(snapshot({ state: 'open' }))
  const chain = compose(new Good(), layer)
  for (const origin of origins) await call(chain, `${origin}/`)
  layer.update({ probes: 1, openFor: 9_000 })
  layer.force('open')
  expect(Object.values(layer.state()).map(({ retryAfter }) => retryAfter)).toEqual(origins.map(() => 1_000))
})
