import { describe, expect, it } from 'vitest'
import { checkBehaviour, heldNumbers } from './behaviour.ts'
import { read } from './files.ts'

const statements = { count: 48, later: [8, 28, 30, 31, 34] }

it('docs/behaviour.md names, for every statement, tests that hold it', () => {
  expect(checkBehaviour(read('docs/behaviour.md'), statements, read)).toEqual([])
})

describe('the check itself', () => {
  const files: Record<string, string> = {
    'test/a.test.ts': "it('1: opens', () => {})\nit.each([['x', f(1)]])('2, 3: closes %s', () => {})\n",
    'test/b.test.ts': "it.skip('1: opens', () => {})\n",
  }
  const readFake = (path: string) => {
    const text = files[path]
    if (text === undefined) throw new Error(`${path} is not there`)
    return text
  }
  const check = (...lines: string[]) => checkBehaviour(lines.join('\n'), { count: 3, later: [3] }, readFake)
  const one = '| 1 | It opens. | `test/a.test.ts` |'
  const two = ['### 2. It closes', '', 'Held by [it](../test/a.test.ts).', '', '## More']
  const three = '| 3 | It shuts. | later |'

  it('accepts rows and headings', () => {
    expect(check(one, ...two, three)).toEqual([])
    expect(check('# 1: It opens', 'test/a.test.ts', ...two, three.replace('later', 'test/a.test.ts'))).toEqual([])
  })

  it.each([
    ['a missing statement', [one, three], 'statement 2 has no heading or row'],
    ['a statement that stands twice', [one, one, ...two, three], 'statement 1 stands twice, in lines 1,2'],
    ['an unknown statement', [one, ...two, three, '| 4 | New. | later |'], 'statement 4 does not exist'],
    [
      'a statement without a test',
      [one.replace('test/a.test.ts', ''), ...two, three],
      'statement 1 names no test/....test.ts',
    ],
    [
      'a claimed statement that is put off',
      [one.replace('test/a.test.ts', 'later'), ...two, three],
      'statement 1 names no test/....test.ts',
    ],
    [
      'a silent gap',
      [one, ...two, three.replace('later', '')],
      'statement 3 names neither a test nor the word "later"',
    ],
    [
      'a test file that is gone',
      [one.replace('/a.', '/c.'), ...two, three],
      'statement 1: test/c.test.ts is not there',
    ],
    ['a test that is skipped', [one.replace('/a.', '/b.'), ...two, three], 'statement 1: no test in test/b.test.ts'],
    [
      'a link that stands under the next heading',
      [one, '### 2. It closes', '## More', 'test/a.test.ts', three],
      'statement 2 names no test/....test.ts',
    ],
  ])('refuses %s', (_, lines, message) => {
    expect(check(...lines)).toEqual([expect.stringContaining(message)])
  })

  it('finds the numbers of titles, and nothing else', () => {
    const source = [
      "it('1: plain', () => {})",
      "  test.each([[')', 2]].map((x) => x))('2, 3: table', () => {})",
      `for (const protocol of protocols) it(\`4: over \${protocol}\`, run)`,
      "describe('5: group', () => {",
      "it.concurrent(\n  '6: on its own line',",
      "// it('7: gone', () => {})",
      "it.skip('8: skipped', () => {})",
      "expect('9: text')",
      "it('10 calls at once', () => {})",
      "it('about 11: no', () => {})",
      "describe.each(protocols)('12: %s', () => {",
    ].join('\n')
    expect([...heldNumbers(source)]).toEqual([1, 2, 3, 4, 5, 6, 12])
  })
})
