// Where the defaults name both retry and hedge, an upstream that changed an option of one of them lost the other.
import { expect, it, vi } from 'vitest'
import { configured } from '../config/fixtures.ts'

it('defaults that name both retry and hedge keep both', () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const upstreams = { a: { hedge: { delay: 5 } }, b: { retry: { maxAttempts: 2 } }, c: { retry: false }, d: {} }
  const { upstreams: chains } = configured({ defaults: { retry: {}, hedge: {} }, upstreams }).effective()
  const both = (name: string) => chains[name]?.map(({ layer }) => layer).filter((layer) => /retry|hedge/.test(layer))
  expect(['a', 'b', 'c', 'd'].map(both)).toEqual([
    ['retry', 'hedge'],
    ['retry', 'hedge'],
    ['hedge'],
    ['retry', 'hedge'],
  ])
  vi.restoreAllMocks()
})
