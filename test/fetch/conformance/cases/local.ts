import { createHash } from 'node:crypto'
import { area, type Case, each } from '../case.ts'
import { headOf, outcome, settled, whole } from '../observe.ts'

const digest = (algorithm: string, text: string) => createHash(algorithm).update(text).digest('base64')
const [right, wrong, long] = [digest('sha256', 'checked'), digest('sha256', 'other'), digest('sha512', 'checked')]

const urls: Record<string, string> = {
  'data: text': 'data:,hello',
  'data: of a type': 'data:text/html;charset=utf-8,%3Cb%3E',
  'data: base64': 'data:application/octet-stream;base64,AAEC/w==',
  'data: bad base64': 'data:;base64,a',
  'data: a fragment': 'data:,hello#there',
  'data: upper case': 'DATA:,hello',
  'data: nothing': 'data:,',
  'data: no comma': 'data:text/plain',
  'data: an odd type': 'data:nonsense,hello',
  'about:blank': 'about:blank',
  'about:srcdoc': 'about:srcdoc',
  'a blob nobody made': 'blob:nodedata:8c4b6e4c-0000-4000-8000-000000000000',
}

const integrities: Record<string, string> = {
  right: `sha256-${right}`,
  wrong: `sha256-${wrong}`,
  'one of two': `sha256-${wrong} sha256-${right}`,
  'the stronger one decides': `sha256-${wrong} sha512-${long}`,
  'the stronger one is wrong': `sha256-${right} sha512-${digest('sha512', 'other')}`,
  'an unknown algorithm': 'md5-abc',
  'no hash at all': 'nonsense',
  'url-safe': `sha256-${right.replaceAll('+', '-').replaceAll('/', '_')}`,
  'with options': `sha256-${right}?a=b`,
  spaces: '   ',
}

const local: Case[] = [
  ...each('GET', urls, (url, fetch) => outcome(fetch, url)),
  ...each('HEAD', urls, (url, fetch) => outcome(fetch, url, { method: 'HEAD' })),
  ...each('a URL object', urls, (url, fetch) => outcome(fetch, new URL(url))),
  {
    name: 'a blob',
    run: async (fetch) => {
      const url = URL.createObjectURL(new Blob(['a blob'], { type: 'text/x-own' }))
      const seen = await outcome(fetch, url)
      URL.revokeObjectURL(url)
      return JSON.parse(JSON.stringify(seen).replaceAll(url, '{blob}'))
    },
  },
  {
    name: 'a range of a blob',
    run: async (fetch) => {
      const url = URL.createObjectURL(new Blob(['a blob']))
      const seen = await outcome(fetch, url, { headers: { range: 'bytes=2-3' } })
      URL.revokeObjectURL(url)
      return JSON.parse(JSON.stringify(seen).replaceAll(url, '{blob}'))
    },
  },
  {
    name: 'an aborted signal',
    run: (fetch) => settled(fetch('data:,hello', { signal: AbortSignal.abort('why') })),
  },
  {
    name: 'a Request of data:',
    run: (fetch, env) => outcome(fetch, new env.classes.Request('data:,hello')),
  },
  {
    name: 'data: by its parts',
    run: async (fetch) => {
      const response = await fetch('data:text/plain,hello')
      const clone = response.clone()
      return [headOf(response), await whole(response), await clone.text()]
    },
  },
]

export const handedOn = area(
  'handed on',
  local.map((one) => ({ ...one, delegates: true })),
  each(
    'integrity',
    integrities,
    (integrity, fetch, env) => {
      env.on('/a', { body: 'checked', headers: { 'content-type': 'text/plain' } })
      return outcome(fetch, env.url('/a'), { integrity })
    },
    { delegates: true },
  ),
  each(
    'integrity after a redirect',
    integrities,
    (integrity, fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b') } })
      env.on('/b', { body: 'checked' })
      return outcome(fetch, env.url('/a'), { integrity })
    },
    { delegates: true },
  ),
)
