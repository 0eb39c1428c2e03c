// Gives up uploads over HTTP/2 at every moment, and tells when it is done. A process of its own: what it looks for is a
// loop that never ends, and no test can end that in its own process.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Readable } from 'node:stream'
import { Agent, type Dispatcher, request } from 'undici'
import { attemptTimeout, compose, createAgent, retry } from '../../src/index.ts'
import { startServer } from '../../src/testing/index.ts'

const headWritten = 'undici:client:sendHeaders'

const moments: Record<string, (act: () => void) => unknown> = {
  'at once': (act) => act(),
  'in a microtask': (act) => queueMicrotask(act),
  'in the next tick': (act) => process.nextTick(act),
  'in the next turn': (act) => setImmediate(act),
  'after a moment': (act) => setTimeout(act, 2),
}

const bodies: Record<string, () => unknown> = {
  none: () => undefined,
  text: () => 'text',
  'many bytes': () => Buffer.alloc(2_000_000),
  'a Blob': () => new Blob(['x'.repeat(100_000)]),
  'a stream that stands still': () => new Readable({ read() {} }),
  'a stream': () => Readable.from([Buffer.alloc(1_000), Buffer.alloc(1_000)]),
  'a generator': () =>
    (async function* () {
      yield Buffer.alloc(1_000)
      yield Buffer.alloc(1_000)
    })(),
}

const server = await startServer({ protocol: 'h2', respond: { '/': { hang: 'head' }, '/warm': 200 } })
const ca = server.ca ?? ''

/** Gives a request up at a moment counted from when undici writes its head: the stream opens in that turn. */
async function giveUp(chain: Dispatcher, make: () => unknown, moment: (act: () => void) => unknown): Promise<void> {
  const abort = new AbortController()
  const atMoment = new Promise<void>((resolve) => {
    const onWrite = () => {
      unsubscribe(headWritten, onWrite)
      moment(() => {
        abort.abort()
        resolve()
      })
    }
    subscribe(headWritten, onWrite)
  })
  const opts = { method: 'PUT', body: make(), signal: abort.signal, dispatcher: chain }
  const sent = request(server.url(), opts as never).catch(() => undefined)
  await atMoment
  await sent
}

async function failing(chain: Dispatcher, moment: (act: () => void) => unknown): Promise<void> {
  const body = new Readable({
    read() {
      moment(() => this.destroy(new Error('the body fails')))
    },
  })
  await request(server.url(), { method: 'PUT', body, dispatcher: chain }).catch(() => undefined)
}

async function works(chain: Dispatcher): Promise<void> {
  const { statusCode, body } = await request(server.url('/warm'), { dispatcher: chain })
  await body.dump()
  if (statusCode !== 200) throw new Error(`got ${statusCode}`)
}

const agents = [() => createAgent({ connect: { ca } }), () => new Agent({ connect: { ca } })]
for (const makeAgent of agents) {
  for (const layers of [[retry()], [attemptTimeout()]]) {
    for (const moment of Object.values(moments)) {
      for (const make of Object.values(bodies)) {
        const chain = compose(makeAgent(), layers)
        // On a cold connection, then on a warm one.
        await giveUp(chain, make, moment)
        await works(chain)
        await giveUp(chain, make, moment)
        await works(chain)
        await chain.destroy()
      }
      for (const first of ['cold', 'warm']) {
        const chain = compose(makeAgent(), layers)
        if (first === 'warm') await works(chain)
        await failing(chain, moment)
        await works(chain)
        await chain.destroy()
      }
    }
  }
}
await server.close()
console.log('all given up')
