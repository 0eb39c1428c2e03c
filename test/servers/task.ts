/** What a client does in one run, as JSON on its standard input. */
export interface Task {
  readonly origin: string
  readonly ca: string
  /** What stands before the id of a call in its path. */
  readonly path: string
  /** The body of every answer; empty: the id of the call. */
  readonly answer: string
  readonly method: 'GET' | 'POST'
  readonly calls: number
  readonly callers: number
  /** Milliseconds after which what is still under way counts as never settled. */
  readonly within: number
  /** Notes on which stream each request went out. */
  readonly notesStreams?: boolean
}

export interface Failure {
  readonly id: string
  readonly code: string
  readonly message: string
  /** Where it went out last: the client's port of the connection, and the stream. */
  readonly sent?: { readonly port: number; readonly stream: number } | undefined
}

/** What became of the calls, as JSON on standard output. */
export interface Report {
  readonly ok: number
  readonly failures: readonly Failure[]
  readonly unsettled: readonly string[]
  /** Milliseconds of the call that took longest. */
  readonly slowest: number
  readonly took: number
  readonly protocol: string
}
