import { clearScreenDown, cursorTo, moveCursor } from 'node:readline'
import type { WriteStream } from 'node:tty'
import { stripVTControlCharacters, styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]

/** A terminal on which a part is drawn again in place; anything else gets plain lines, each once. */
export class Screen {
  readonly isTerminal: boolean
  readonly #stream: WriteStream
  readonly #coloured: boolean
  #drawn = 0

  constructor(stream: WriteStream, env: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream
    this.isTerminal = stream.isTTY === true && env.TERM !== 'dumb'
    this.#coloured = this.isTerminal && !env.NO_COLOR
  }

  /** How many characters fit in a line. */
  get width(): number {
    return (this.isTerminal && this.#stream.columns) || 100
  }

  style(style: Style, text: string): string {
    return this.#coloured ? styleText(style, text, { validateStream: false }) : text
  }

  /** Lines that stay. What was drawn before stays above them. */
  print(...lines: readonly string[]): void {
    this.#drawn = 0
    this.#stream.write(lines.map((line) => `${line}\n`).join(''))
  }

  /** Draws over what the last `draw` drew; nothing where there is no terminal. */
  draw(lines: readonly string[]): void {
    if (!this.isTerminal) return
    if (this.#drawn > 0) {
      moveCursor(this.#stream, 0, -this.#drawn)
      cursorTo(this.#stream, 0)
      clearScreenDown(this.#stream)
    }
    this.#stream.write(lines.map((line) => `${line}\n`).join(''))
    // A line that is wider than the terminal takes several of its rows.
    this.#drawn = lines.reduce(
      (rows, line) => rows + Math.max(1, Math.ceil(stripVTControlCharacters(line).length / this.width)),
      0,
    )
  }

  /** The last version of what was drawn, which stays. */
  finish(lines: readonly string[]): void {
    if (this.isTerminal) this.draw(lines)
    else this.print(...lines)
    this.#drawn = 0
  }
}
