import pLimit from 'p-limit'
import {
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  deadline,
  guard,
  type Policy,
  protocolOf,
  retry,
  tracing,
} from 'roundtripper'
import { Agent, type Dispatcher, request } from 'undici'
import { type LaneName, type Service, services } from './phases.ts'
import { Tally } from './tally.ts'
import type { Upstreams } from './upstreams.ts'

/** Milliseconds that either lane gives a call. */
export const callTimeout = 2_000
/** How many calls either lane has under way at once. */
export const callers = 24

/** How one service stands in a lane just now. */
export interface LaneView {
  readonly breaker: string | undefined
  readonly slots: number
  readonly queued: number
}

type Made = {
  readonly dispatcher: Dispatcher
  /** Bounds a call where the dispatcher does not. */
  readonly signal?: () => AbortSignal
  readonly view?: (origin: string) => LaneView | undefined
}

/** One way to call the services: what it calls with, and what its callers counted. */
export class Lane {
  readonly name: LaneName
  /** Calls that came up while all callers were busy. */
  heldUp = 0
  readonly #upstreams: Upstreams
  readonly #made: Made
  readonly #limit = pLimit(callers)
  readonly #inFlight = { orders: 0, users: 0 }
  readonly #waiting = { orders: 0, users: 0 }
  #tallies = newTallies()
  #onIdle: (() => void) | undefined = undefined

  constructor(name: LaneName, upstreams: Upstreams, make: (lane: Lane) => Made) {
    this.name = name
    this.#upstreams = upstreams
    this.#made = make(this)
  }

  /** What was counted since the last `turn`. */
  get tallies(): Readonly<Record<Service, Tally>> {
    return this.#tallies
  }

  /** Begins to count anew; returns what was counted so far. */
  turn(): Readonly<Record<Service, Tally>> {
    const before = this.#tallies
    this.#tallies = newTallies()
    for (const service of services) this.#tallies[service].protocol = before[service].protocol
    return before
  }

  serviceOf(origin: string): Service {
    return services.find((service) => this.#upstreams.origin(this.name, service) === origin)!
  }

  view(service: Service): LaneView {
    const own = this.#made.view?.(this.#upstreams.origin(this.name, service))
    return {
      breaker: own?.breaker,
      slots: own?.slots ?? this.#inFlight[service],
      queued: this.#waiting[service] + (own?.queued ?? 0),
    }
  }

  /** Makes connections and warms the code up, and counts nothing of it. */
  async warmUp(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      for (const service of services) for (let call = 0; call < 5; call++) this.call(service, `/${service}/${call}`)
      await this.idle(false)
    }
    this.turn()
  }

  /** A call comes up. Its time runs from now, also while it waits for a free caller. */
  call(service: Service, path: string): void {
    const cameAt = performance.now()
    this.#tallies[service].calls++
    this.#waiting[service]++
    if (this.#limit.activeCount === callers) this.heldUp++
    void this.#limit(async () => {
      this.#waiting[service]--
      this.#inFlight[service]++
      const ok = await this.#send(service, path)
      this.#inFlight[service]--
      this.#tallies[service].end(ok, performance.now() - cameAt)
      if (this.#isIdle()) this.#onIdle?.()
    })
  }

  /** Resolves when nothing is under way; with `drop`, what has not begun never does. */
  async idle(drop: boolean): Promise<void> {
    if (drop) {
      this.#limit.clearQueue()
      for (const service of services) this.#waiting[service] = 0
    }
    if (this.#isIdle()) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }

  close(): Promise<void> {
    return this.#made.dispatcher.close()
  }

  async #send(service: Service, path: string): Promise<boolean> {
    const { dispatcher, signal } = this.#made
    try {
      const answer = await request(this.#upstreams.origin(this.name, service) + path, {
        dispatcher,
        ...(signal === undefined ? null : { signal: signal() }),
      })
      await answer.body.dump()
      this.#tallies[service].protocol = protocolOf(answer)
      return answer.statusCode < 400
    } catch {
      return false
    }
  }

  #isIdle(): boolean {
    return services.every((service) => this.#inFlight[service] + this.#waiting[service] === 0)
  }
}

function newTallies(): Record<Service, Tally> {
  return { orders: new Tally(), users: new Tally() }
}

/** What most programs do: undici as it comes, and a timeout for each call. */
export function bareLane(upstreams: Upstreams): Lane {
  return new Lane('bare', upstreams, () => ({
    dispatcher: new Agent({ connect: { ca: upstreams.certificate.ca } }),
    signal: () => AbortSignal.timeout(callTimeout),
  }))
}

/** The kit's chain, each bound short enough that a demo of seconds shows it at work. */
export function chainLane(upstreams: Upstreams): Lane {
  return new Lane('chain', upstreams, (lane) => {
    const breaker = circuitBreaker({ window: 2_000, openFor: 500 })
    const slots = bulkhead({ limit: callers / 2, queue: callers / 4 })
    const dispatcher = compose(
      createAgent({ connect: { ca: upstreams.certificate.ca } }),
      tracing({ urlTemplate: ({ path }) => path.replace(/\d+/, '{id}') }),
      guard(retryCount(lane)),
      deadline(callTimeout),
      retry({ backoff: { initialDelay: 20 } }),
      breaker,
      slots,
      attemptTimeout(400),
    )
    return {
      dispatcher,
      view(origin) {
        const { inUse = 0, queued = 0 } = slots.state()[origin] ?? {}
        return { breaker: breaker.state()[origin]?.state, slots: inUse, queued }
      },
    }
  })
}

/** A policy that lets everything pass, and counts the attempts of each call. */
function retryCount(lane: Lane): Policy {
  return {
    name: 'retryCount',
    acquire: () => ({
      settle(_outcome, { exchange, origin }) {
        lane.tallies[lane.serviceOf(origin)].retries += Math.max(0, exchange.attempts - 1)
      },
    }),
  }
}
