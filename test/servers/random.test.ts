// A server of the kit's own that sends GOAWAY, refuses and resets streams and drops connections at random, and knows of
// each request what it did with it.
import { type RecordedRequest, type Step, seededRandom, startServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { ours } from './programs.ts'
import { summary, taskFor } from './runs.ts'

const calls = 5_000

/** What the server did with a request. */
type Deed = 'answered' | 'not taken' | 'reset' | 'cut' | 'dropped'

function chooser(random: () => number) {
  const deeds = new Map<RecordedRequest, Deed>()
  const lastStream = new Map<number, number>()
  // The last stream that the GOAWAY of a connection named; what the server has read on it meanwhile counts for nothing.
  const named = new Map<number, number>()
  const decide = (request: RecordedRequest): [Deed, Step] => {
    const { connection, streamId } = request
    const last = Math.max(streamId, lastStream.get(connection) ?? 0)
    lastStream.set(connection, last)
    const dice = random()
    const answer = { body: request.path.slice(1) }
    if (dice < 0.02) {
      named.set(connection, Math.min(last, named.get(connection) ?? last))
      return ['answered', { ...answer, goaway: { lastStreamId: last } }]
    }
    if (dice < 0.06) return ['not taken', { refuse: true }]
    if (dice < 0.07) return ['reset', { reset: 'before-head', resetCode: random() < 0.5 ? 2 : 8 }]
    if (dice < 0.08) return ['cut', { ...answer, reset: 'in-body', resetCode: 8 }]
    if (dice < 0.081) return ['dropped', { destroySession: random() < 0.5 ? 'before-head' : 'in-body' }]
    return ['answered', dice < 0.3 ? { ...answer, delay: 1 + Math.floor(random() * 5) } : answer]
  }
  const respond = (request: RecordedRequest): Step => {
    const [deed, step] = decide(request)
    deeds.set(request, deed)
    return step
  }
  const wasTaken = (request: RecordedRequest) =>
    deeds.get(request) !== 'not taken' && request.streamId <= (named.get(request.connection) ?? request.streamId)
  return { deeds, respond, wasTaken }
}

function byId(requests: readonly RecordedRequest[]): Map<string, RecordedRequest[]> {
  const found = new Map<string, RecordedRequest[]>()
  for (const request of requests) {
    const id = request.path.slice(1)
    const same = found.get(id)
    if (same === undefined) found.set(id, [request])
    else same.push(request)
  }
  return found
}

describe('a server that fails at random', () => {
  it.each([
    ['GET', 1],
    ['GET', 2],
    ['POST', 3],
    ['POST', 4],
  ] as const)(
    '34: every %s settles, what was not taken goes out again, and no more than that (seed %i)',
    async (method, seed) => {
      const { deeds, respond, wasTaken } = chooser(seededRandom(seed).next)
      await using server = await startServer({ protocol: 'h2', respond })
      const report = await ours(taskFor(server.port, server.ca!, method, { calls }))
      const seen = byId(server.requests)
      const { failures, ...rest } = summary(report)
      console.log(`${method}, seed ${seed}: ${report.ok} of ${calls} ok, lost: ${JSON.stringify(failures)}`)
      expect(rest).toMatchObject({ unsettled: 0, inTime: true, protocol: 'HTTP/2' })
      expect(report.ok + report.failures.length).toBe(calls)

      const dropped = new Set(
        server.requests.filter((one) => deeds.get(one) === 'dropped').map((one) => one.connection),
      )
      const answered = new Set<RecordedRequest>()
      for (const request of server.requests) if ((await request.closed).how === 'answered') answered.add(request)
      // A dropped connection takes with it what it had answered, or was about to.
      const isLost = (request: RecordedRequest) => !answered.has(request) || dropped.has(request.connection)
      const lost = new Set(report.failures.map(({ id }) => id))
      for (const [id, requests] of seen) {
        const done = requests.filter(wasTaken)
        if (method === 'POST') expect(done.length, `${id} was taken`).toBeLessThanOrEqual(1)
        for (const before of requests.slice(0, -1)) {
          const mayAgain = !wasTaken(before) || (method === 'GET' && isLost(before))
          expect(mayAgain, `${id} may go out again`).toBe(true)
        }
      }
      for (const id of lost) {
        const requests = seen.get(id) ?? []
        const last = requests.at(-1)
        // Refused four times, or with no answer of its own.
        const given = requests.filter((request) => !wasTaken(request)).length > 3
        const told = requests.map((one) => `${deeds.get(one)}, ${wasTaken(one) ? 'taken' : 'not taken'}`)
        const failure = report.failures.find((one) => one.id === id)
        const why = `${id} was lost: ${JSON.stringify(failure)}; the server: ${told.join('; ')}`
        expect(given || last === undefined || isLost(last), why).toBe(true)
      }
    },
  )
})
