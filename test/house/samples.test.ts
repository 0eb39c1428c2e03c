import { describe, expect, it } from 'vitest'
import { listFiles, read } from './files.ts'
import { checkSamples, fillSamples, regionOf } from './samples.ts'

const pages = ['README.md', ...listFiles('docs', ['.md'])]

describe('samples on pages', () => {
  it.each(pages)('%s shows only code of compiled programs', (page) => {
    expect(checkSamples(page, read(page), read)).toEqual([])
  })

  it('README.md shows at least the three uses', () => {
    const shown = read('README.md').match(/^<!-- sample: examples\/\S+ -->$/gm) ?? []
    expect(shown.length).toBeGreaterThanOrEqual(3)
  })
})

describe('the check itself', () => {
  const program = [
    "import { compose } from 'roundtripper'",
    'async function main() {',
    '  // #region chain',
    '  const api = compose(',
    '    agent,',
    '',
    '    // #region layers',
    '    retry(),',
    '    // #endregion',
    '  )',
    '  // #endregion',
    '}',
    '',
  ].join('\n')
  const readProgram = (path: string) => {
    if (path !== 'examples/compose.ts') throw new Error(`${path} is not there`)
    return program
  }
  const page = (marker: string, ...content: string[]) =>
    ['# Title', '', marker, '```ts', ...content, '```', ''].join('\n')
  const chain = ['const api = compose(', '  agent,', '', '  retry(),', ')']

  it('takes a region without its indentation and marks', () => {
    expect(regionOf('examples/compose.ts', program, 'chain')).toEqual(chain)
    expect(regionOf('examples/compose.ts', program, 'layers')).toEqual(['retry(),'])
  })

  it('takes a whole file without marks', () => {
    const whole = regionOf('examples/compose.ts', program, undefined)
    expect(whole).toHaveLength(8)
    expect(whole.join('\n')).not.toContain('#')
  })

  it('accepts an exact copy', () => {
    const text = page('<!-- sample: examples/compose.ts#chain -->', ...chain)
    expect(checkSamples('README.md', text, readProgram)).toEqual([])
  })

  it('accepts an indented copy, as in a list', () => {
    const text = page('<!-- sample: examples/compose.ts#chain -->', ...chain).replaceAll(/^(?=.)/gm, '  ')
    expect(checkSamples('README.md', text, readProgram)).toEqual([])
  })

  it.each([
    ['a fence without a marker', page('', ...chain), 'README.md:4 has no <!-- sample'],
    ['a js fence without a marker', page('', ...chain).replace('```ts', '```js'), 'README.md:4 has no <!-- sample'],
    [
      'a marker that a blank line parts from its fence',
      page('<!-- sample: examples/compose.ts#chain -->\n', ...chain),
      'no ts or js fence follows',
    ],
    [
      'a marker above a shell fence',
      page('<!-- sample: examples/compose.ts#chain -->', 'npm ci').replace('```ts', '```sh'),
      'no ts or js fence follows',
    ],
    [
      'one other character',
      page('<!-- sample: examples/compose.ts#chain -->', ...chain).replace('agent,', 'agent;'),
      'README.md:4 differs from examples/compose.ts#chain',
    ],
    [
      'one line less',
      page('<!-- sample: examples/compose.ts#chain -->', ...chain.slice(1)),
      'README.md:4 differs from examples/compose.ts#chain',
    ],
    [
      'a region that does not exist',
      page('<!-- sample: examples/compose.ts#gone -->', ...chain),
      'examples/compose.ts has no region gone',
    ],
    [
      'a file that does not exist',
      page('<!-- sample: examples/gone.ts -->', ...chain),
      'examples/gone.ts is not there',
    ],
    [
      'a file that is not compiled',
      page('<!-- sample: notes/gone.ts -->', ...chain),
      'no program that README.md may show',
    ],
    [
      'a file that is no example',
      page('<!-- sample: src/index.ts -->', ...chain),
      'no program that README.md may show',
    ],
  ])('refuses %s', (_, text, message) => {
    expect(checkSamples('README.md', text, readProgram).join('\n')).toContain(message)
  })

  it('leaves fences of other languages alone', () => {
    expect(checkSamples('README.md', '```sh\nnpm ci\n```\n\n```\n```ts\n```\n', readProgram)).toEqual([])
  })

  it('refuses regions that do not close, close twice or share a name', () => {
    expect(() => regionOf('a.ts', '// #region a\n', 'a')).toThrow('a.ts never ends the region a')
    expect(() => regionOf('a.ts', '// #endregion\n', undefined)).toThrow('never began')
    const twice = '// #region a\n// #endregion\n'.repeat(2)
    expect(() => regionOf('a.ts', twice, 'a')).toThrow('a.ts has two regions a')
  })

  it('fills every fence of a page, and changes nothing else', () => {
    const stale = `${page('<!-- sample: examples/compose.ts#chain -->', 'old', 'older')}text\n${page('', 'unmarked')}${page(
      '<!-- sample: examples/compose.ts#layers -->',
    )}`
    const fresh = `${page('<!-- sample: examples/compose.ts#chain -->', ...chain)}text\n${page('', 'unmarked')}${page(
      '<!-- sample: examples/compose.ts#layers -->',
      'retry(),',
    )}`
    expect(fillSamples('README.md', stale, readProgram)).toBe(fresh)
    expect(fillSamples('README.md', fresh, readProgram)).toBe(fresh)
  })
})
