// A circuit that was forced was never forgotten: with an order for all, origins that were called once stayed for ever. One
// that was left to its rules by exception was forgotten, and came back with the order for all.
import { circuitBreaker, compose } from 'roundtripper'
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { call } from '../dispatchers/retry-servers.ts'

class Silent extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    handler.onResponseError?.(null as never, new Error('gone'))
    return true
  }
}

async function ask(chain: Dispatcher, origin: string): Promise<string> {
  return call(chain, `${origin}/`).then(String, (error) => error.code ?? error.message)
}

it.each(['open', 'closed', 'disabled'] as const)(
  '9, 10: of 2000 origins forced %s a thousand are remembered',
  async (order) => {
    const layer = circuitBreaker()
    layer.force(order)
    const chain = compose(new Silent(), layer)
    for (let at = 0; at < 2000; at++) await ask(chain, `http://a${at}.test`)
    expect(Object.keys(layer.state())).toHaveLength(1000)
    expect(await ask(chain, 'http://a0.test')).toBe(order === 'open' ? 'ERR_CIRCUIT_OPEN' : 'gone')
    layer.force(null)
    expect(new Set(Object.values(layer.state()).map(({ forced }) => forced))).toEqual(new Set([null]))
  },
)

it('9, 10: an exception from an order for all is remembered', async () => {
  const layer = circuitBreaker()
  layer.force('open')
  layer.force(null, 'http://kept.test')
  const chain = compose(new Silent(), layer)
  for (let at = 0; at < 2000; at++) await ask(chain, `http://a${at}.test`)
  expect(await ask(chain, 'http://kept.test')).toBe('gone')
})
