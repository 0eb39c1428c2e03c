import { setTimeout as sleep } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { createAgent, isShed, type Scope } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { Call } from './call.ts'
import { assemble, Instruments, type ProbeListeners } from './chain.ts'
import { type ChainSpec, describeChain, drawChain } from './chain-spec.ts'
import { Consumer, type Result } from './consumer.ts'
import { SoakRefusal } from './errors.ts'
import { type CallPlan, drawCall } from './plan.ts'
import type { ProbeEvents } from './probe.ts'
import type { Servers } from './servers.ts'
import type { Tally } from './tally.ts'
import { checkResult } from './verify.ts'
import { makeCall } from './ways.ts'

/** What all rounds of a run share. */
export interface RoundContext {
  readonly seed: number
  readonly servers: Servers
  readonly tally: Tally
  readonly failures: string[]
  readonly callsPerRound: number
  /** Calls under way at once in one round. */
  readonly callers: number
}

// No call takes nearly as long by itself; it only may where the machine is busy with something else.
const longestCall = 20_000
const longestClose = 10_000
// What policies on promises give back comes some milliseconds after the last call.
const settleWithin = 2_000
// Calls after which somebody changes what can be changed while it runs.
const changeEvery = 80

/** How the dispatcher of a round ends. */
type Ending = 'close when quiet' | 'close under way' | 'destroy under way'

/** One chain, and the calls that go through it. */
export class Round {
  readonly number: number
  readonly chain: ChainSpec
  readonly #context: RoundContext
  readonly #instruments: Instruments
  readonly #dispatcher: Dispatcher
  readonly #calls = new Map<number, Call>()
  readonly #plans: CallPlan[]
  readonly #ending: Ending
  #closing = false

  constructor(context: RoundContext, number: number) {
    this.#context = context
    this.number = number
    const random = seededRandom((context.seed + Math.imul(number, 0x9e3779b1)) >>> 0)
    this.chain = drawChain(random)
    this.#plans = Array.from({ length: context.callsPerRound }, (_, at) =>
      drawCall(random, number * context.callsPerRound + at, this.chain),
    )
    this.#ending = random.chance(0.6) ? 'close when quiet' : random.pick(['close under way', 'destroy under way'])
    const { origins, refusing } = context.servers
    // Without HTTP/2 an agent cannot talk to a server that speaks nothing else.
    const names = (['both', 'h1', 'h1c', 'h2'] as const).filter((name) => name !== 'h2' || this.chain.allowH2)
    const hosts = [refusing, ...names.map((name) => origins[name])]
    this.#instruments = new Instruments(this.chain, { listeners: this.#listeners(), random: random.next, hosts })
    const agent = createAgent({ allowH2: this.chain.allowH2, connect: context.servers.connect })
    this.#dispatcher = assemble(agent, this.chain, this.#instruments.layers)
  }

  #listeners(): ProbeListeners {
    const find = (scope: Scope) => this.#calls.get(Number(/^\/c\/(\d+)/.exec(scope.exchange.path)?.[1]))
    const listener = (pick: (call: Call) => ProbeEvents) => (scope: Scope) => {
      const call = find(scope)
      return call === undefined ? null : pick(call)
    }
    return {
      outer: listener((call) => call.outer),
      aboveBulkhead: listener((call) => call.aboveBulkhead),
      belowBulkhead: listener((call) => call.belowBulkhead),
      attempt: listener((call) => call.attempt),
      wire: listener((call) => call.wire),
    }
  }

  #fail(text: string): void {
    this.#context.failures.push(`round ${this.number} (${describeChain(this.chain)}): ${text}`)
  }

  async run(): Promise<void> {
    const { callers, tally } = this.#context
    tally.add('form', this.chain.form)
    tally.add('ending', this.#ending)
    for (const layer of new Set(this.chain.layers)) tally.add('layer', layer)
    const quietly = this.#plans.length - (this.#ending === 'close when quiet' ? 0 : callers)
    let next = 0
    const work = async () => {
      while (next < quietly) {
        if (next % changeEvery === changeEvery - 1) this.#instruments.change()
        await this.#make(this.#plans[next++] as CallPlan)
      }
    }
    await Promise.all(Array.from({ length: callers }, work))
    const underWay = this.#plans.slice(quietly).map((plan) => this.#make(plan))
    if (underWay.length > 0) await sleep(1 + (this.number % 4))
    await this.#end()
    await Promise.all(underWay)
    await this.#checkClosed()
    await this.#checkQuiet()
    this.#report()
  }

  async #make(plan: CallPlan): Promise<void> {
    const call = new Call(plan)
    this.#calls.set(plan.id, call)
    const endsAtOnce = this.chain.form !== 'composed'
    const giveUp = plan.giveUp > 0 ? setTimeout(() => call.abortNow(call.phase), plan.giveUp) : undefined
    let watchdog: NodeJS.Timeout | undefined
    const hung = new Promise<null>((resolve) => {
      watchdog = setTimeout(() => resolve(null), longestCall)
    })
    const startedBeforeClose = !this.#closing
    const result = await Promise.race([makeCall(call, this.#dispatcher, this.#context.servers, endsAtOnce), hung])
    clearTimeout(watchdog)
    clearTimeout(giveUp)
    if (result === null) {
      call.mistake(`did not end within ${longestCall} ms (${call.progress})`)
    } else {
      this.#judge(call, result, startedBeforeClose)
    }
    for (const mistake of call.mistakes) this.#fail(mistake)
  }

  #judge(call: Call, result: Result, startedBeforeClose: boolean): void {
    const { tally } = this.#context
    const { plan } = call
    const name = checkResult(call, this.chain, result)
    if (name === 'UND_ERR_CLOSED' && startedBeforeClose && this.chain.form !== 'composed' && plan.way !== 'fetch') {
      call.mistake('close() did not wait for a call under way')
    }
    tally.add('calls', 'all')
    tally.add('way', plan.way)
    tally.add('result', name)
    if (plan.body !== null) tally.add('calls', 'with a body')
    if (plan.body !== null) tally.add('body', plan.body)
    for (const option of Object.keys(plan.options)) tally.add('option', option)
    if (call.retried) tally.add('calls', 'retried')
    if (call.abortedIn !== null && name === 'SoakAbort') tally.add('abort', call.abortedIn)
    if (name === 'SoakBodyFailure') tally.add('fault', 'request body fails')
    if (name === 'ECONNREFUSED') tally.add('fault', 'connection refused')
    if (result.thrown !== undefined) tally.add('fault', 'consumer throws')
    if (call.unreadSeen) tally.add('fault', 'unread body')
    if (plan.method === 'HEAD' && result.complete) tally.add('fault', 'HEAD')
  }

  async #end(): Promise<void> {
    this.#closing = true
    const ended = this.#ending === 'destroy under way' ? this.#dispatcher.destroy() : this.#dispatcher.close()
    const late = sleep(longestClose, 'late', { ref: false })
    if ((await Promise.race([ended, late])) === 'late') {
      this.#fail(`${this.#ending}: not done within ${longestClose} ms`)
      await this.#dispatcher.destroy()
    }
  }

  async #checkClosed(): Promise<void> {
    const [plan] = this.#plans
    const call = new Call({ ...(plan as CallPlan), id: -1, throwsIn: null, abort: null })
    const consumer = new Consumer(call, false)
    this.#dispatcher.dispatch({ origin: this.#context.servers.origins.h1c, path: '/', method: 'GET' }, consumer)
    const { error } = await consumer.result
    const { code } = (error ?? {}) as { code?: string }
    // Where undici composed the layers, they are asked before the agent is.
    if (this.chain.form === 'composed' && (error instanceof SoakRefusal || isShed(error))) return
    if (code !== 'UND_ERR_CLOSED' && code !== 'UND_ERR_DESTROYED')
      this.#fail(`a call after the end got ${String(error)}`)
  }

  async #checkQuiet(): Promise<void> {
    const until = performance.now() + settleWithin
    while (this.#instruments.leftOver().length > 0 && performance.now() < until) await sleep(4)
    for (const left of this.#instruments.leftOver()) this.#fail(`left over: ${left}`)
    for (const mistake of this.#instruments.mistakes()) this.#fail(mistake)
  }

  #report(): void {
    const { tally } = this.#context
    const { spans, records, probes } = this.#instruments
    tally.add(
      'held',
      'permits',
      probes.reduce((sum, { acquired }) => sum + acquired, 0),
    )
    tally.add('held', 'spans', spans.started)
    tally.add('held', 'records', records.calls + records.attempts)
  }
}
