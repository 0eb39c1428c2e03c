import { type ChainPart, chainPartOf } from './chain-part.ts'

type Parts = readonly (ChainPart | undefined)[]

function positions(parts: Parts, name: string): number[] {
  return parts.flatMap((part, at) => (part?.name === name ? [at] : []))
}

// Each rule answers what is wrong and what to change, or null. Positions are counted from the outermost layer.

const onlyOnce = [
  'tracing',
  'logging',
  'deadline',
  'attemptTimeout',
  'bodyTimeout',
  'fallback',
  'retry',
  'hedge',
  'circuitBreaker',
  'bulkhead',
  'adaptiveLimit',
]

function whyOnce(name: string): string {
  if (name === 'retry' || name === 'hedge') return 'attempts multiply'
  if (name === 'bulkhead') return 'a call would hold a slot of one while it waits for the other'
  if (name === 'adaptiveLimit') return 'each would move by what the other lets through'
  return 'the inner one would see what the outer one already judged'
}

function twice(parts: Parts): string | null {
  const problems: string[] = []
  for (const name of onlyOnce) {
    const [first, second] = positions(parts, name)
    if (first === undefined || second === undefined) continue
    problems.push(`${name}() stands twice (layers ${first + 1} and ${second + 1}): ${whyOnce(name)}. Keep one.`)
  }
  return problems.length === 0 ? null : problems.join(' ')
}

function breakerOutsideAttempts(parts: Parts): string | null {
  const [breaker] = positions(parts, 'circuitBreaker')
  if (breaker === undefined) return null
  const at = parts.findIndex((part, place) => place > breaker && (part?.name === 'retry' || part?.name === 'hedge'))
  if (at < 0) return null
  const name = `${parts[at]?.name}()`
  return (
    `circuitBreaker() (layer ${breaker + 1}) stands outside ${name} (layer ${at + 1}): it would see one outcome of ` +
    `several attempts, and an open circuit would be found only after they all failed. Put circuitBreaker() below ${name}.`
  )
}

function deadlineShorterThanAttempt(parts: Parts): string | null {
  const deadline = parts.find((part) => part?.name === 'deadline')?.duration
  const attempt = parts.find((part) => part?.name === 'attemptTimeout')?.duration
  if (deadline === undefined || attempt === undefined || deadline > attempt) return null
  return (
    `deadline(${deadline}) is not longer than attemptTimeout(${attempt}): no attempt could ever time out and be tried ` +
    'again. Make the deadline longer, or the attempt timeout shorter.'
  )
}

const mistakes = [twice, breakerOutsideAttempts, deadlineShorterThanAttempt]

function breakerWithoutTimeout(parts: Parts): string | null {
  if (positions(parts, 'circuitBreaker').length === 0 || positions(parts, 'attemptTimeout').length > 0) return null
  return (
    'circuitBreaker() stands without an attemptTimeout(): a server that hangs is then no failure until undici gives up ' +
    'after 300 s, and the circuit stays closed. Put attemptTimeout() below it.'
  )
}

function retryTimesHedge(parts: Parts): string | null {
  const [retry] = positions(parts, 'retry')
  const [hedge] = positions(parts, 'hedge')
  if (retry === undefined || hedge === undefined) return null
  return (
    `retry() (layer ${retry + 1}) and hedge() (layer ${hedge + 1}) multiply: together they send no more than each adds ` +
    'alone, so some of what either promises will not be sent. hedge() sends another attempt also where one fails; keep one.'
  )
}

function bulkheadOutsideHedge(parts: Parts): string | null {
  const [bulkhead] = positions(parts, 'bulkhead')
  const [hedge] = positions(parts, 'hedge')
  if (bulkhead === undefined || hedge === undefined || bulkhead > hedge) return null
  return (
    `bulkhead() (layer ${bulkhead + 1}) stands outside hedge() (layer ${hedge + 1}): a call holds one slot for all its ` +
    'attempts. Put bulkhead() below hedge().'
  )
}

function bulkheadOutsideRetry(parts: Parts): string | null {
  const [bulkhead] = positions(parts, 'bulkhead')
  const [retry] = positions(parts, 'retry')
  if (bulkhead === undefined || retry === undefined || bulkhead > retry) return null
  return (
    `bulkhead() (layer ${bulkhead + 1}) stands outside retry() (layer ${retry + 1}): a call holds its slot through every ` +
    'backoff. Put bulkhead() below retry().'
  )
}

function deadlineInsideHedge(parts: Parts): string | null {
  const [deadline] = positions(parts, 'deadline')
  const [hedge] = positions(parts, 'hedge')
  if (deadline === undefined || hedge === undefined || deadline < hedge) return null
  return (
    `deadline() (layer ${deadline + 1}) stands inside hedge() (layer ${hedge + 1}): each attempt then has its own, and the ` +
    'call none. Put it above hedge(); to bound each attempt use attemptTimeout().'
  )
}

function deadlineInsideRetry(parts: Parts): string | null {
  const [deadline] = positions(parts, 'deadline')
  const [retry] = positions(parts, 'retry')
  if (deadline === undefined || retry === undefined || deadline < retry) return null
  return (
    `deadline() (layer ${deadline + 1}) stands inside retry() (layer ${retry + 1}): it does not bound the backoffs. Put it ` +
    'above retry(); to bound each attempt use attemptTimeout().'
  )
}

function adaptiveLimitOutsideRetry(parts: Parts): string | null {
  const [limit] = positions(parts, 'adaptiveLimit')
  const [retry] = positions(parts, 'retry')
  if (limit === undefined || retry === undefined || limit > retry) return null
  return (
    `adaptiveLimit() (layer ${limit + 1}) stands outside retry() (layer ${retry + 1}): it measures the last attempt only, and ` +
    'a call holds its slot through every backoff. Put adaptiveLimit() below retry().'
  )
}

function adaptiveLimitOutsideBulkhead(parts: Parts): string | null {
  const [limit] = positions(parts, 'adaptiveLimit')
  const [bulkhead] = positions(parts, 'bulkhead')
  if (limit === undefined || bulkhead === undefined || limit > bulkhead) return null
  return (
    `adaptiveLimit() (layer ${limit + 1}) stands outside bulkhead() (layer ${bulkhead + 1}): calls that wait in the bulkhead's ` +
    'queue count as under way, and the limit rises for calls that no server has seen. Put adaptiveLimit() below bulkhead().'
  )
}

// Outside retry() it counts calls, inside it attempts: both are meant by somebody, and nothing is said.
function rateLimitInsideBulkhead(parts: Parts): string | null {
  const [bulkhead] = positions(parts, 'bulkhead')
  const rateLimit = positions(parts, 'rateLimit').at(-1)
  if (bulkhead === undefined || rateLimit === undefined || rateLimit < bulkhead) return null
  return (
    `rateLimit() (layer ${rateLimit + 1}) stands inside bulkhead() (layer ${bulkhead + 1}): a call holds a slot while it ` +
    'waits its turn. Put rateLimit() above bulkhead().'
  )
}

function contextInsideQueue(parts: Parts): string | null {
  const context = positions(parts, 'contextHeaders').at(-1)
  if (context === undefined) return null
  const at = parts.findIndex((part, place) => place < context && ['bulkhead', 'rateLimit'].includes(part?.name ?? ''))
  if (at < 0) return null
  const name = `${parts[at]?.name}()`
  return (
    `contextHeaders() (layer ${context + 1}) stands inside ${name} (layer ${at + 1}): calls wait there without the deadline and ` +
    `the priority of their context. Put contextHeaders() above ${name}.`
  )
}

function balanceOutsideAttempts(parts: Parts): string | null {
  const balance = positions(parts, 'balance').at(-1)
  if (balance === undefined) return null
  const at = parts.findIndex((part, place) => place > balance && (part?.name === 'retry' || part?.name === 'hedge'))
  if (at < 0) return null
  const name = `${parts[at]?.name}()`
  return (
    `balance() (layer ${balance + 1}) stands outside ${name} (layer ${at + 1}): all attempts of a call go to the host that the ` +
    `first one failed on. Put balance() below ${name}.`
  )
}

function breakerOutsideBalance(parts: Parts): string | null {
  const [breaker] = positions(parts, 'circuitBreaker')
  const balance = positions(parts, 'balance').at(-1)
  if (breaker === undefined || balance === undefined || breaker > balance) return null
  return (
    `circuitBreaker() (layer ${breaker + 1}) stands outside balance() (layer ${balance + 1}): one bad host opens the circuit of ` +
    'all. Put circuitBreaker() below balance().'
  )
}

function contextInsideDeduplicate(parts: Parts): string | null {
  const [shared] = positions(parts, 'deduplicate')
  const context = positions(parts, 'contextHeaders').at(-1)
  if (shared === undefined || context === undefined || context < shared) return null
  return (
    `contextHeaders() (layer ${context + 1}) stands inside deduplicate() (layer ${shared + 1}): a request that may be shared is ` +
    'made for nobody, and takes no context along. Put contextHeaders() above deduplicate().'
  )
}

function fallbackInside(parts: Parts): string | null {
  const [fallback] = positions(parts, 'fallback')
  if (fallback === undefined) return null
  const above = parts.findIndex(
    (part, at) => at < fallback && ['retry', 'hedge', 'circuitBreaker', 'deadline'].includes(part?.name ?? ''),
  )
  if (above < 0) return null
  const name = `${parts[above]?.name}()`
  return (
    `fallback() (layer ${fallback + 1}) stands inside ${name} (layer ${above + 1}), which then never sees what failed, or ` +
    `fails by itself with nothing to take its place. Put fallback() above ${name}.`
  )
}

function breakerOutsideCanary(parts: Parts): string | null {
  const [breaker] = positions(parts, 'circuitBreaker')
  const [canary] = positions(parts, 'canary')
  if (breaker === undefined || canary === undefined || breaker > canary) return null
  return (
    `circuitBreaker() (layer ${breaker + 1}) stands outside canary() (layer ${canary + 1}): it counts all variants as one, and a bad ` +
    'one opens the circuit of all. Put circuitBreaker() below canary().'
  )
}

const doubts = [
  breakerOutsideCanary,
  fallbackInside,
  breakerWithoutTimeout,
  retryTimesHedge,
  bulkheadOutsideHedge,
  bulkheadOutsideRetry,
  deadlineInsideRetry,
  deadlineInsideHedge,
  adaptiveLimitOutsideRetry,
  adaptiveLimitOutsideBulkhead,
  rateLimitInsideBulkhead,
  contextInsideQueue,
  balanceOutsideAttempts,
  breakerOutsideBalance,
  contextInsideDeduplicate,
]

/** @throws TypeError that names every mistake, and for each what to change. */
export function checkMistakes(parts: Parts, name: string): void {
  const wrong = mistakes.map((rule) => rule(parts)).filter((problem) => problem !== null)
  if (wrong.length > 0) {
    throw new TypeError(
      `${name}: ${wrong.join(' ')} (First is outermost. If you mean it, agent.compose(...) does not check; its last is outermost.)`,
    )
  }
}

// A chain made per request would otherwise warn per request.
const warned = new Set<string>()

interface Way {
  readonly name: string
  readonly parts: Parts
}

/** The chains that calls meet, where a layer sends them on in different ways. */
function waysOf(parts: Parts, name: string): Way[] {
  const at = parts.findIndex((part) => part?.targets !== undefined)
  if (at < 0) return [{ name, parts }]
  const chooser = parts[at] as ChainPart
  const ways: Way[] = []
  for (const { name: target, layers } of chooser.targets?.() ?? []) {
    // What another dispatcher is made of, nobody knows here.
    const after = layers === null ? [] : [...layers.map(chainPartOf), ...parts.slice(at + 1)]
    ways.push(...waysOf([...parts.slice(0, at), { name: chooser.name }, ...after], `${name}: on the way to ${target}`))
  }
  return ways
}

/**
 * Looks a chain over, outermost layer first; where a layer chooses, along each of its ways.
 *
 * @throws TypeError that names every mistake, and for each what to change. What is only unwise is a process warning
 * with the code `ROUNDTRIPPER_CHAIN`.
 */
export function checkChain(given: Parts): void {
  for (const { name, parts } of waysOf(given, 'compose')) {
    checkMistakes(parts, name)
    for (const rule of doubts) {
      const doubt = rule(parts)
      if (doubt === null || warned.has(doubt)) continue
      warned.add(doubt)
      process.emitWarning(`${name}: ${doubt}`, { type: 'RoundtripperWarning', code: 'ROUNDTRIPPER_CHAIN' })
    }
  }
}
