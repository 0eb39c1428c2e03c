// What a process hears besides its calls: rejections nobody handles, errors nobody catches, warnings.

const expectedWarnings = new Set(['ExperimentalWarning', 'RoundtripperWarning'])

/** Listens until it is closed. */
export class Noise implements Disposable {
  readonly #heard: string[] = []
  readonly #unhandled = (reason: unknown) => this.#heard.push(`unhandled rejection: ${String(reason)}`)
  readonly #uncaught = (error: unknown) => this.#heard.push(`uncaught exception: ${String(error)}`)
  readonly #warned = (warning: Error) => {
    if (!expectedWarnings.has(warning.name)) this.#heard.push(`warning: ${String(warning)}`)
  }

  constructor() {
    process.on('unhandledRejection', this.#unhandled)
    process.on('uncaughtException', this.#uncaught)
    process.on('warning', this.#warned)
  }

  /** What has been heard since it was last asked. */
  take(): string[] {
    return this.#heard.splice(0)
  }

  [Symbol.dispose](): void {
    process.off('unhandledRejection', this.#unhandled)
    process.off('uncaughtException', this.#uncaught)
    process.off('warning', this.#warned)
  }
}
