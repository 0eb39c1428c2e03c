// docs/behaviour.md says how every part behaves, as numbered statements. One is a heading that begins with its number
// (and what follows up to the next heading), or a table row whose first cell is the number. It names the files of the
// tests that hold it; a test holds a statement if its title begins with the number: '3: ...' or '15, 16: ...'.

/** The statements, and those of them that this release leaves to later ones. */
export interface Statements {
  readonly count: number
  readonly later: readonly number[]
}

interface Entry {
  readonly number: number
  readonly line: number
  text: string
}

type Read = (path: string) => string

const heading = /^#{1,6}\s/
const numberedHeading = /^#{1,6}\s+(\d+)(?=[.:)\s]|$)/
const numberedRow = /^\s*\|\s*\**(\d+)\.?\**\s*\|/
const testFile = /\btest\/[\w./-]+\.test\.ts\b/g

function readEntries(page: string): Entry[] {
  const entries: Entry[] = []
  let current: Entry | undefined
  for (const [at, line] of page.split('\n').entries()) {
    const row = numberedRow.exec(line)
    if (row !== null) {
      entries.push({ number: Number(row[1]), line: at + 1, text: line })
      continue
    }
    if (heading.test(line)) {
      const numbered = numberedHeading.exec(line)
      current = numbered === null ? undefined : { number: Number(numbered[1]), line: at + 1, text: '' }
      if (current !== undefined) entries.push(current)
    }
    if (current !== undefined) current.text += `${line}\n`
  }
  return entries
}

/** The numbers that the titles of a test file begin with. A test that is skipped holds nothing. */
export function heldNumbers(source: string): Set<number> {
  const code = source.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  const held = new Set<number>()
  for (const match of code.matchAll(/\(\s*(['"`])(\d+(?:\s*,\s*\d+)*):\s/g)) {
    const caller = callerBefore(code.slice(0, match.index))
    if (caller === undefined || /\.(skip|skipIf|runIf|todo|fails)\b/.test(caller)) continue
    for (const number of match[2]!.split(',')) held.add(Number(number))
  }
  return held
}

/** What is called at the end of `code`: `it`, or the nearest `it.each` where its table stands between. */
function callerBefore(code: string): string | undefined {
  if (!/[)`]$/.test(code)) return /\b(?:it|test|describe)(?:\.\w+)*$/.exec(code)?.[0]
  return code.match(/\b(?:it|test|describe)(?:\.\w+)+(?=[(`])/g)?.at(-1)
}

/** One line for each statement that no test holds, or that the page gets wrong. */
export function checkBehaviour(page: string, { count, later }: Statements, read: Read): string[] {
  const wrong: string[] = []
  const entries = readEntries(page)
  for (let number = 1; number <= count; number++) {
    const found = entries.filter((entry) => entry.number === number)
    if (found.length === 0) wrong.push(`statement ${number} has no heading or row`)
    if (found.length > 1) wrong.push(`statement ${number} stands twice, in lines ${found.map((entry) => entry.line)}`)
  }
  for (const { number, text } of entries) {
    const files = [...new Set(text.match(testFile) ?? [])]
    if (number < 1 || number > count) wrong.push(`statement ${number} does not exist: they go from 1 to ${count}`)
    else if (files.length === 0) wrong.push(...checkLater(number, text, later))
    for (const file of files) wrong.push(...checkFile(number, file, read))
  }
  return wrong
}

function checkLater(number: number, text: string, later: readonly number[]): string[] {
  if (!later.includes(number)) return [`statement ${number} names no test/....test.ts that holds it`]
  return /\blater\b/i.test(text) ? [] : [`statement ${number} names neither a test nor the word "later"`]
}

function checkFile(number: number, file: string, read: Read): string[] {
  try {
    const held = heldNumbers(read(file)).has(number)
    return held ? [] : [`statement ${number}: no test in ${file} has a title that begins with '${number}: '`]
  } catch (error) {
    return [`statement ${number}: ${(error as Error).message}`]
  }
}
