const blank = /[ \t\r\n]*/y
// What may stand in a string is all from the space on but the quote and the backslash. Written so that there is one way only
// to read any text: one without its end would else be tried in all of them.
const text = /"[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-[\]-\uffff]*)*"/y
const word = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/** Where a text stops to be JSON, and what should stand there. V8 tells the place of some mistakes only, and quotes the text. */
export function findJsonError(json: string): { readonly at: number; readonly expected: string } | null {
  let at = 0
  const skip = (pattern: RegExp) => {
    pattern.lastIndex = at
    const isThere = pattern.test(json)
    if (isThere) at = pattern.lastIndex
    return isThere
  }
  const next = () => {
    skip(blank)
    return json[at]
  }
  // What is open, the innermost last: `{` or `[`.
  const open: string[] = []
  let wants: 'value' | 'first' | 'name' | 'more' = 'value'
  const fails = (expected: string) => ({ at, expected })
  for (;;) {
    const mark = next()
    const inside = open.at(-1)
    if (wants === 'more') {
      if (inside === undefined) return mark === undefined ? null : fails('the end of the file')
      const end = inside === '{' ? '}' : ']'
      if (mark === end) open.pop()
      else if (mark === ',') wants = inside === '{' ? 'name' : 'value'
      else return fails(`"," or "${end}"`)
      if (mark !== undefined) at++
    } else if (wants === 'first' && mark === (inside === '{' ? '}' : ']')) {
      open.pop()
      at++
      wants = 'more'
    } else if (wants === 'name' || (wants === 'first' && inside === '{')) {
      if (!skip(text)) return fails(wants === 'first' ? 'a name in double quotes or "}"' : 'a name in double quotes')
      if (next() !== ':') return fails('":"')
      at++
      wants = 'value'
    } else if (mark === '{' || mark === '[') {
      open.push(mark)
      at++
      wants = 'first'
    } else {
      if (!skip(text) && !skip(word)) return fails('a value')
      wants = 'more'
    }
  }
}
