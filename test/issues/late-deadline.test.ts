// A call in one object that has to be taken apart sets its deadline then, back from where the call began. The lane of an
// idle program was armed for a whole duration from that moment: a deadline of 500 ms came after 900.
import { compose, standard } from 'roundtripper'
import { Dispatcher } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { lane, type TimerEntry } from '../../src/policies/clock.ts'
import { stopClock } from '../dispatchers/retry-servers.ts'

/** Answers nothing by itself. */
class Silent extends Dispatcher {
  readonly handlers: Dispatcher.DispatchHandler[] = []
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handlers.push(handler)
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

const controller = {
  aborted: false,
  paused: false,
  reason: null,
  rawHeaders: [],
  pause: () => {},
  resume: () => {},
  abort: () => {},
}

function begin(deadline: number, attemptTimeout: number) {
  const silent = new Silent()
  const chain = compose(silent, standard({ deadline, attemptTimeout, retry: { backoff: 1 } }))
  onTestFinished(() => chain.destroy())
  const errors: unknown[] = []
  const told = { onRequestStart: () => {}, onResponseError: (_: unknown, error: Error) => errors.push(error) }
  chain.dispatch({ origin: 'http://127.0.0.1', path: '/', method: 'GET' }, told)
  return { silent, errors }
}

it('19, 24: after an attempt that timed out the deadline is where it was', async () => {
  const { advance } = stopClock()
  const { silent, errors } = begin(503, 407)
  await advance(410)
  expect(silent.handlers.length).toBe(2)
  await advance(92)
  expect(errors).toEqual([])
  await advance(1)
  expect(errors).toMatchObject([{ code: 'ERR_DEADLINE_EXCEEDED' }])
})

it('19, 24: after an attempt that failed the deadline is where it was', async () => {
  const { advance } = stopClock()
  const { silent, errors } = begin(509, 503)
  await advance(300)
  silent.handlers[0]?.onRequestStart?.(controller, null)
  silent.handlers[0]?.onResponseStart?.(controller, 503, {}, '')
  silent.handlers[0]?.onResponseEnd?.(controller, {})
  await advance(10)
  expect(silent.handlers.length).toBe(2)
  await advance(199)
  expect(errors).toMatchObject([{ code: 'ERR_DEADLINE_EXCEEDED' }])
})

it('24: an entry whose time began a while ago is not late, also where the lane is armed for another', async () => {
  const { advance } = stopClock()
  const timers = lane(491)
  const fired: string[] = []
  const entry = (name: string): TimerEntry => ({
    timerAt: 0,
    timerNext: null,
    timerPrev: null,
    onTimer: () => fired.push(name),
  })
  const began = performance.now()
  await advance(200)
  timers.add(entry('young'))
  timers.add(entry('old'), began)
  await advance(290)
  expect(fired).toEqual([])
  await advance(1)
  expect(fired).toEqual(['old'])
  await advance(200)
  expect(fired).toEqual(['old', 'young'])
})
