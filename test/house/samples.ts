// A page shows code only as a copy of a region of a program that is compiled and run:
//
//   <!-- sample: examples/compose.ts#chain -->     in the page, right above the fence
//   // #region chain ... // #endregion             in the program; without a #name, the whole file

/** A fence of TypeScript or JavaScript on a page, or a marker that no fence follows. */
export interface Sample {
  /** The line of the fence (or of a marker alone), from 1. */
  readonly line: number
  /** `file#region` or `file`, as its marker names it; `undefined` where the fence has none. */
  readonly source: string | undefined
  /** Where its content begins and ends among the page's lines, from 0; `undefined` for a marker alone. */
  readonly content: { readonly from: number; readonly to: number; readonly indent: string } | undefined
}

type Read = (path: string) => string

const marker = /^\s*<!-- sample: (\S+) -->\s*$/
const opening = /^(\s*)(`{3,}|~{3,})\s*(\w*)/
const languages = ['ts', 'typescript', 'mts', 'tsx', 'js', 'javascript', 'mjs', 'cjs', 'jsx']

/** Every sample of a page, in order. */
export function findSamples(page: string): Sample[] {
  const lines = page.split('\n')
  const samples: Sample[] = []
  let source: string | undefined
  for (let at = 0; at < lines.length; at++) {
    const named = marker.exec(lines[at]!)
    const opened = opening.exec(lines[at]!)
    if (opened === null) {
      if (source !== undefined) samples.push({ line: at, source, content: undefined })
      source = named?.[1]
      continue
    }
    const [, indent = '', fence = '', language = ''] = opened
    const rest = lines.slice(at + 1).findIndex((line) => line.trim() === fence)
    const to = rest === -1 ? lines.length : at + 1 + rest
    if (languages.includes(language.toLowerCase())) {
      samples.push({ line: at + 1, source, content: { from: at + 1, to, indent } })
    } else if (source !== undefined) {
      samples.push({ line: at, source, content: undefined })
    }
    source = undefined
    at = to
  }
  if (source !== undefined) samples.push({ line: lines.length, source, content: undefined })
  return samples
}

/** The lines of a region, or of the whole file, without region marks, common indentation and blank ends. Throws where there is no such region. */
export function regionOf(file: string, text: string, name: string | undefined): string[] {
  const taken: string[] = []
  const open: string[] = []
  let found = name === undefined
  for (const line of text.split('\n')) {
    const start = /^\s*\/\/ #region (\S+)\s*$/.exec(line)
    if (start !== null) {
      if (start[1] === name && found) throw new Error(`${file} has two regions ${name}`)
      found ||= start[1] === name
      open.push(start[1]!)
    } else if (/^\s*\/\/ #endregion\b/.test(line)) {
      if (open.pop() === undefined) throw new Error(`${file} ends a region that it never began`)
    } else if (name === undefined || open.includes(name)) {
      taken.push(line)
    }
  }
  if (open.length > 0) throw new Error(`${file} never ends the region ${open.at(-1)}`)
  if (!found) throw new Error(`${file} has no region ${name}`)
  return dedent(taken)
}

function dedent(lines: readonly string[]): string[] {
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length)
  const common = Math.min(...indents)
  const text = lines.map((line) => line.slice(common).trimEnd()).join('\n')
  return text.replace(/^\n+|\n+$/g, '').split('\n')
}

/** The README shows examples; a page of docs/ may also show any other program that is compiled. */
function isAllowed(page: string, file: string): boolean {
  return page === 'README.md'
    ? /^examples\/.+\.ts$/.test(file)
    : /^(examples|test|bench|scripts|src)\/.+\.ts$/.test(file)
}

function wanted(page: string, source: string, read: Read): string[] {
  const [file = '', name] = source.split('#')
  if (!isAllowed(page, file)) throw new Error(`${file} is no program that ${page} may show`)
  return regionOf(file, read(file), name)
}

/** One line for each sample of the page that is not an exact copy of what its marker names. */
export function checkSamples(page: string, text: string, read: Read): string[] {
  const lines = text.split('\n')
  const wrong: string[] = []
  for (const { line, source, content } of findSamples(text)) {
    const where = `${page}:${line}`
    if (source === undefined) {
      wrong.push(`${where} has no <!-- sample: FILE#REGION --> above it`)
    } else if (content === undefined) {
      wrong.push(`${where} names ${source}, but no ts or js fence follows`)
    } else {
      try {
        const { from, to, indent } = content
        const shown = lines.slice(from, to).map((shownLine) => shownLine.replace(indent, ''))
        if (shown.join('\n') !== wanted(page, source, read).join('\n')) {
          wrong.push(`${where} differs from ${source}: npm run samples copies it`)
        }
      } catch (error) {
        wrong.push(`${where}: ${(error as Error).message}`)
      }
    }
  }
  return wrong
}

/** The page with every marked fence filled from the file its marker names. */
export function fillSamples(page: string, text: string, read: Read): string {
  const lines = text.split('\n')
  for (const { source, content } of findSamples(text).reverse()) {
    if (source === undefined || content === undefined) continue
    const { from, to, indent } = content
    const filled = wanted(page, source, read).map((line) => (line === '' ? '' : indent + line))
    lines.splice(from, to - from, ...filled)
  }
  return lines.join('\n')
}
