// One wrong value was told as several: at places where nothing stands, or where nothing is wrong.
import { expect, it } from 'vitest'
import { everything, problemsOf, problemsOfUpstream } from '../config/fixtures.ts'

const pathsOf = (config: unknown) => problemsOf(config).map((line) => line.replace(/: .*/s, ''))

it('times that do not fit are told where they stand, once', () => {
  expect(problemsOf({ defaults: { deadline: 500, attemptTimeout: 800 }, upstreams: { a: {}, b: {} } })).toEqual([
    'defaults.deadline: must be longer than attemptTimeout, which is 800, got 500',
  ])
  expect(problemsOf({ defaults: { deadline: 500 }, upstreams: { a: { attemptTimeout: 800 } } })).toEqual([
    'upstreams.a.attemptTimeout: must be shorter than deadline, which is 500, got 800',
  ])
  expect(problemsOfUpstream({ attemptTimeout: 40_000 })).toEqual([
    'attemptTimeout: must be shorter than deadline, which is 30000, got 40000',
  ])
  expect(problemsOfUpstream({ deadline: 30_000, attemptTimeout: 1e300 })).toHaveLength(1)
})

it('an upstream that is wrong is still one that calls may go to', () => {
  for (const wrong of [null, 1, [], () => {}]) {
    expect(pathsOf({ ...everything, upstreams: wrong })).toEqual(['upstreams'])
  }
  const { users } = everything.upstreams
  expect(pathsOf({ ...everything, upstreams: { users, search: () => {} } })).toEqual(['upstreams.search'])
})

it('hosts that are wrong are not missing, and a list is no route', () => {
  expect(problemsOfUpstream({ hosts: () => {}, balance: {} })).toHaveLength(1)
  expect(pathsOf({ upstreams: { a: {} }, routes: [[[]]] })).toEqual(['routes[0]'])
})
