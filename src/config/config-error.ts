/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** Where it stands: `upstreams.users.hosts[0].weight`; empty for the whole. */
  readonly path: string
  /** What is allowed there, and what was found. */
  readonly message: string
}

// A log bears no more; `errors` has all of them.
const mostTold = 50

function told(source: string, errors: readonly ConfigProblem[]): string {
  const lines = errors.slice(0, mostTold).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  if (errors.length > mostTold) lines.push(`and ${errors.length - mostTold} more`)
  return lines.length === 1 ? `${source}: ${lines[0]}` : `${source}:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

/** A configuration that cannot be used. It tells all that is wrong with it, and nothing has been made of it. */
export class ConfigError extends Error {
  readonly code = 'ERR_CONFIG'
  readonly errors: readonly ConfigProblem[]

  constructor(source: string, errors: readonly ConfigProblem[]) {
    super(told(source, errors))
    this.errors = errors
  }
}
Object.defineProperty(ConfigError.prototype, 'name', { value: 'ConfigError', configurable: true, writable: true })
