// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
// `${A:-${B}}` ended at the first brace: the text got what A held and a brace, or `${B}`, and nobody was told. And of two
// variables in one text that both are missing only the first was told.
import { expect, it } from 'vitest'
import { problemsOfUpstream } from '../config/fixtures.ts'

const body = (text: string) => ({ fallback: { value: { body: text } } })

it('a variable in the fallback of another one is an error', () => {
  for (const env of [{}, { A: 'a' }, { B: 'b' }]) {
    expect(problemsOfUpstream(body('${A:-${B}}'), { env })).toEqual([
      'fallback.value.body: must be ${NAME} or ${NAME:-fallback}, got "${A:-${B}"; $${ stands for ${ itself',
    ])
  }
})

it('all variables of a text that are missing are told', () => {
  expect(problemsOfUpstream(body('${A} ${B} ${A}'))).toEqual([
    'fallback.value.body: the environment has no variable A; the environment has no variable B',
  ])
})
