import type { Area, Transport } from './case.ts'
import type { Unlike } from './compare.ts'
import type { SubjectName } from './subjects.ts'

/** A place at which a fetch of ours does otherwise than the reference. */
export interface Difference extends Unlike {
  readonly transport: Transport
  readonly subject: SubjectName
  readonly case: string
}

/** A difference that is meant to be. */
export interface KnownDifference {
  /** Cases, by their full name, `area / name`. */
  readonly cases: RegExp
  /** Places in the observation. */
  readonly paths: RegExp
  /** Where it shows. Everywhere, unless given. */
  readonly transports?: readonly Transport[]
  /** From which major version of Node on. From the first, unless given. */
  readonly since?: number
  /** Whom it concerns. All, unless given. */
  readonly subjects?: readonly SubjectName[]
  readonly reason: string
}

/** All differences that are known and meant. One that is no longer found must be taken out. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    cases: /the runtime's Request: (whose body has been read|whose body is locked|sent twice with its body)/,
    paths: /message$/,
    reason: "what stands in the way is the body of the runtime's own Request, and its error is worded otherwise",
  },
  {
    cases: /the runtime's Request: (sent twice with its body|whose body is used when)/,
    paths: /^(requests|observed\.0)/,
    reason:
      "a body inside the runtime's own Request is a stream to us: sent without a length, and begun a little later",
  },
  {
    cases: /^init \/ wrong member: dispatcher/,
    paths: /^observed\.error/,
    reason: 'what is no dispatcher is named as such',
  },
  {
    cases: /^bodies \/ a stream: an async generator of numbers/,
    paths: /message$/,
    reason: 'both refuse what is neither text nor bytes, each in the words of the call it makes',
  },
  {
    cases: /^decompression \/ spoilt, empty(, streamed late)?: zstd/,
    paths: /./,
    since: 24,
    reason:
      'a body of no bytes is an empty one, as it is with every other coding; undici gives the error of its decoder',
  },
  {
    cases: /^redirects \/ location: spaces around/,
    paths: /./,
    // Over HTTP/2 Node's server trims it.
    transports: ['h1c', 'h1'],
    reason: 'undici fails with an error of its own making, though the standard has the location trimmed',
  },
  {
    cases: /^reading \/ (text|json): two BOMs/,
    paths: /./,
    reason: 'the standard takes one BOM away, undici two',
  },
  {
    cases: /^aborts \/ .*(null as reason|a number|false)$/,
    paths: /^observed/,
    reason: 'in a body undici takes a false reason for none; the standard gives the reason, whatever it is',
  },
  {
    cases: /^failures \/ a dispatcher of init that: (answers later|breaks off the body)/,
    paths: /headers/,
    reason:
      'of a head whose raw and whose parsed form do not agree, the parsed one counts here: it is what layers change',
  },
  {
    cases: /^headers \/ (framing|value)/,
    paths: /./,
    subjects: ['over the chain'],
    reason:
      'the chain checks headers before a connection is used, with errors of its own, and drops what belongs to one connection',
  },
  {
    cases: /^bodies \/ a stream/,
    paths: /./,
    subjects: ['over the chain'],
    reason:
      'the chain reads a stream itself, to be able to send it again: it begins sooner, and takes an ArrayBuffer too',
  },
  {
    cases: /^bodies \/ a (stream|body with an answer that comes before its end)/,
    paths: /./,
    transports: ['h2'],
    subjects: ['over the agent', 'over the chain'],
    reason: 'the agent reads a stream itself: at once, an ArrayBuffer too, and to its end also after the answer',
  },
  {
    cases: /^aborts \/ while a body is sent/,
    paths: /^observed\.1/,
    subjects: ['over the chain'],
    reason: 'the chain cancels the stream that it reads; undici leaves it locked',
  },
  {
    cases: /^aborts \/ while a (body|generator) is sent/,
    paths: /^(observed\.1|requests)/,
    transports: ['h2'],
    subjects: ['over the agent', 'over the chain'],
    reason: 'the agent resets the stream of a request that was given up; undici ends it as if the body were whole',
  },
  {
    cases: /^redirects \/ a redirect without a location and a body/,
    paths: /^observed/,
    reason: 'undici drops the body of an answer that it does not follow',
  },
  {
    cases:
      /^failures \/ .*(cut in a body of parts|in the body,: (NO_ERROR|CANCEL)|before the head,: (CANCEL|H11|NO_ERROR))/,
    paths: /^observed/,
    transports: ['h2'],
    subjects: ['over the agent', 'over the chain'],
    reason:
      'the agent tells a stream that was reset from one that ended, and with which code; it turns to HTTP/1.1 where told to',
  },
  {
    cases: /^failures \/ .*(refused|REFUSED|connection lost before the head)$/,
    paths: /^requests/,
    transports: ['h2'],
    reason: 'what certainly was not taken, or may be repeated, is sent again: bodies are given as bytes',
  },
]

const node = Number(process.versions.node.split('.')[0])
const here = knownDifferences.filter(({ since = 0 }) => node >= since)

/** Which of the known differences were found. */
export class Known {
  readonly #found = new Set<KnownDifference>()

  explains(difference: Difference): boolean {
    const known = here.filter(
      ({ cases, paths, transports, subjects }) =>
        cases.test(difference.case) &&
        paths.test(difference.path) &&
        (transports?.includes(difference.transport) ?? true) &&
        (subjects?.includes(difference.subject) ?? true),
    )
    for (const one of known) this.#found.add(one)
    return known.length > 0
  }

  /** Those that should have been found in a run of these areas over these transports, and were not. */
  unused(areas: readonly Area[], transports: readonly Transport[]): string[] {
    const names = areas.flatMap(({ name, cases }) => cases.map((one) => `${name} / ${one.name}`))
    return here
      .filter((one) => !this.#found.has(one))
      .filter((one) => names.some((name) => one.cases.test(name)))
      .filter((one) => one.transports === undefined || one.transports.some((each) => transports.includes(each)))
      .map((one) => `${one.cases} ${one.paths}: ${one.reason}`)
  }
}
