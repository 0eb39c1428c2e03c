// Where a chain takes something: what the standard one costs where a server fails more often than not, and an adaptive limit
// at its start.
import { compose, type StandardOptions } from '../../../src/index.ts'
import { inWorld, ModelServer, OpenLoop, report } from '../world.ts'
import { metastableOverload } from './metastable-overload.ts'
import { playStorm, retryStorm } from './retry-storm.ts'
import { bare, chances, limited, playWith, ready, standardWith, type Variant } from './scenario.ts'

/** Of the answers. */
const mostlyFailing = 0.6

const late: Variant = {
  name: '`standard({ circuitBreaker: { failureShare: 0.9 } })`',
  layers: (random) => standardWith(random, { circuitBreaker: { failureShare: 0.9 } }),
}

/** The storm with a server that fails more often than not. */
async function failingMostly(seed: number): Promise<string> {
  const scenario = { ...retryStorm, play: playStorm(mostlyFailing) }
  const rows: string[] = []
  for (const variant of [bare, ready, late]) {
    const { during, recovery } = await playWith(scenario, variant, seed)
    rows.push(`| ${variant.name} | ${Math.round(during.goodput)}/s | ${recovery} s |`)
  }
  return ['| chain | goodput during | back after |', '|---|---|---|', ...rows].join('\n')
}

// So many a second that all come before the first answer.
const burst = { calls: 200, rate: 100_000 } as const

async function answeredOfBurst(options: StandardOptions, seed: number): Promise<number> {
  const records = await inWorld(async (clock) => {
    const { callers, chain } = chances(seed)
    const server = new ModelServer({ clock, workers: 40, serviceTime: () => 40 })
    const dispatcher = compose(server, standardWith(chain, options))
    const load = new OpenLoop({ clock, random: callers, dispatcher, patience: 10_000, rate: burst.rate })
    while (load.open + load.records.length < burst.calls) await clock.run(0.001)
    load.stop()
    await clock.run(60_000)
    return load.records
  })
  return records.filter(({ result }) => result === 200).length
}

const beginning = 3_000

/** Of the storm's calls, those that come in the first seconds: what is answered of them, a second. */
async function goodputAtFirst({ layers }: Variant, seed: number): Promise<number> {
  const records = await retryStorm.play({ name: 'at first', layers }, seed)
  return report(records, 0, beginning).goodput
}

const near: Variant = {
  name: '`standard({ deadline: 900, adaptiveLimit: {} })`',
  layers: (random) => standardWith(random, { deadline: 900, adaptiveLimit: {} }),
}

/** What the page says of all that. */
export async function costs(seed: number): Promise<string> {
  // The limit has seen no window by then, so that chance has no part in it.
  const [queued, refused] = [await answeredOfBurst({}, seed), await answeredOfBurst({ adaptiveLimit: {} }, seed)]
  const { before } = await playWith(metastableOverload, near, seed)
  const [usual, low] = [await goodputAtFirst(ready, seed), await goodputAtFirst(limited, seed)]
  return [
    'What a breaker takes: six answers in ten fail, in the retry storm.',
    '',
    await failingMostly(seed),
    '',
    'What an adaptive limit takes, while it does not know the server:',
    '',
    `| chain | ${burst.calls} calls at once, answered | the first ${beginning / 1000} s of the storm's calls |`,
    '|---|---|---|',
    `| ${ready.name} | ${queued} | ${Math.round(usual)}/s |`,
    `| ${limited.name} | ${refused} | ${Math.round(low)}/s |`,
    '',
    `And with ${near.name}, which gives an attempt 300 ms, goodput in the metastable overload is ${Math.round(before.goodput)}/s`,
    'before there is any fault.',
  ].join('\n')
}
