// Plays all scenarios over one dispatcher at once, and tells what went wrong.
import { runWithContext } from 'roundtripper'
import type { Dispatcher } from 'undici'
import type { Books } from './books.ts'
import { breachOf, Consumer } from './consumer.ts'
import type { Ground } from './ground.ts'
import { kindOf, type Scenario, scenarios } from './scenarios.ts'

/** One scenario, played. */
export class Played {
  readonly scenario: Scenario
  readonly path: string
  readonly consumer: Consumer
  /** What came out of dispatch. */
  thrown: unknown = undefined

  constructor(scenario: Scenario, path: string) {
    this.scenario = scenario
    this.path = path
    this.consumer = new Consumer(scenario.on)
  }

  /** The callbacks, as a row of the table compares them. */
  get story(): string {
    return this.consumer.events.join(' > ').replace(/upgrade \d+/, 'upgrade')
  }

  /** What is wrong with it, against the scenario. */
  mistakes(ground: Ground): string[] {
    const { scenario, consumer, path } = this
    const found: (string | null | undefined | false)[] = [
      this.thrown !== undefined && `dispatch threw ${String(this.thrown)}`,
      breachOf(consumer.events),
      this.story !== scenario.expect.join(' > ') && `expected ${scenario.expect.join(' > ')}, got ${this.story}`,
      scenario.bytes !== undefined && consumer.bytes !== scenario.bytes && `${consumer.bytes} bytes came`,
      scenario.unsent === true && ground.count(path) > 0 && 'the request was sent',
      this.wrongError,
      scenario.check?.(consumer, ground, path),
    ]
    return found.filter((mistake) => typeof mistake === 'string').map((mistake) => `${scenario.name}: ${mistake}`)
  }

  get wrongError(): string | null {
    const { error } = this.scenario
    const given = this.consumer.error
    if (error === undefined) return given === undefined ? null : `failed with ${String(given)}`
    if (error === true) return given instanceof Error ? null : `failed with ${String(given)}`
    return given === error ? null : `failed with ${String(given)}, not with ${String(error)}`
  }
}

let played = 0

/** Lets everything that is ready happen. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const served = { requestId: 'contract', tenant: 'table', priority: 'normal', deadline: 600_000 } as const

function start(scenario: Scenario, dispatcher: Dispatcher, ground: Ground): Played {
  const path = scenario.method === 'CONNECT' ? scenario.path : `${scenario.path}?n=${++played}`
  const one = new Played(scenario, path)
  const opts = {
    origin: ground.server.origin,
    path,
    method: scenario.method ?? 'GET',
    ...(scenario.body === undefined ? null : { body: scenario.body() }),
    ...(scenario.upgrade === undefined ? null : { upgrade: scenario.upgrade }),
  } as Dispatcher.DispatchOptions
  try {
    // What a context changes, contextHeaders() does; to all others it is nothing.
    runWithContext(served, () => dispatcher.dispatch(opts, one.consumer))
  } catch (error) {
    one.thrown = error
  }
  scenario.after?.(one.consumer, ground, path)
  return one
}

const patience = 4000

/** Starts every scenario at once, and waits until all are over. */
export async function play(dispatcher: Dispatcher, ground: Ground, chosen = scenarios): Promise<Played[]> {
  const all = chosen
    .filter(({ only }) => only === undefined || only === ground.version)
    .map((scenario) => start(scenario, dispatcher, ground))
  let timer: NodeJS.Timeout | undefined
  const stuck = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patience)
  })
  await Promise.race([
    Promise.all(all.map(({ consumer, thrown }) => (thrown === undefined ? consumer.over : null))),
    stuck,
  ])
  clearTimeout(timer)
  // What wrongly comes after the end comes now.
  await turns(4)
  return all
}

// A call that ends before its policy is asked has no permit; one in a queue may get another than it would have had.
function kindMistakes({ scenario, path }: Played, { kinds, attemptsRace }: Books): string[] {
  const expected = kindOf(scenario)
  const found = [...(kinds.get(path) ?? [])]
  if (expected === null || found.every((kind) => kind === expected || (attemptsRace && kind === 'cancelled'))) return []
  return [`${scenario.name}: policies were told ${found.join(' and ')}, not ${expected}`]
}

/** What went wrong in a row: in the calls, and in the books. */
export function mistakesOf(all: readonly Played[], ground: Ground, books: Books): string[] {
  return [
    ...all.flatMap((one) => one.mistakes(ground)),
    ...all.flatMap((one) => kindMistakes(one, books)),
    ...books.mistakes,
  ]
}
