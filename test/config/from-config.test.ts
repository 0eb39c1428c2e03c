import { compose, createAgent, standard, standardHedging } from 'roundtripper'
import { ConfigError, fromConfig } from 'roundtripper/config'
import { describe, expect, it, onTestFinished } from 'vitest'
import { configured, everything, problemsOf, problemsOfUpstream } from './fixtures.ts'

function chainOf(layers: ReturnType<typeof standard>) {
  const chain = compose(createAgent(), layers)
  onTestFinished(() => chain.destroy())
  return chain.describe()
}

const names = (layers: readonly { readonly layer: string }[]) => layers.map(({ layer }) => layer)

describe('the chain of an upstream', () => {
  it('is that of standard() where nothing else is said', () => {
    const { users } = configured({ upstreams: { users: {} } }).effective().upstreams
    expect(users).toEqual(chainOf(standard()))
  })

  it('is that of standardHedging() with hedge', () => {
    const { users } = configured({ upstreams: { users: { hedge: {} } } }).effective().upstreams
    expect(users).toEqual(chainOf(standardHedging()))
  })

  it('has each layer at its place', () => {
    const { users, search } = configured(everything).effective().upstreams
    expect(names(users ?? [])).toEqual([
      'canary',
      'tracing',
      'logging',
      'fallback',
      'deadline',
      'contextHeaders',
      'rateLimit',
      'retry',
      'balance',
      'circuitBreaker',
      'bulkhead',
      'adaptiveLimit',
      'attemptTimeout',
      'bodyTimeout',
      'PoolAgent',
    ])
    expect(names(search ?? [])).toEqual([
      'canary',
      'fallback',
      'deadline',
      'hedge',
      'balance',
      'circuitBreaker',
      'bulkhead',
      'attemptTimeout',
      'bodyTimeout',
      'mirror',
      'PoolAgent',
    ])
  })

  it('takes over the defaults, and lays its own options over them', () => {
    const defaults = { retry: { maxAttempts: 2, backoff: { initialDelay: 7 } }, bulkhead: false, deadline: 900 }
    const users = { retry: { maxDelay: 50, backoff: 5 }, bulkhead: {} }
    const { upstreams } = configured({ defaults, upstreams: { users, orders: { retry: false } } }).effective()
    const [first = [], second = []] = Object.values(upstreams)
    expect(first.find(({ layer }) => layer === 'retry')?.options).toMatchObject({
      maxAttempts: 2,
      maxDelay: 50,
      backoff: 5,
    })
    expect(names(first)).toContain('bulkhead')
    expect(names(second)).toEqual([
      'tracing',
      'deadline',
      'circuitBreaker',
      'attemptTimeout',
      'bodyTimeout',
      'PoolAgent',
    ])
    expect(second.find(({ layer }) => layer === 'attemptTimeout')?.options).toEqual({ duration: 300 })
  })

  it.each([
    ['hedge of its own for a retry of the defaults', { retry: {} }, { hedge: {} }, ['hedge']],
    ['retry of its own for a hedge of the defaults', { hedge: {} }, { retry: {} }, ['retry']],
    ['hedge of the defaults', { hedge: {} }, {}, ['hedge']],
    ['what it was given, both', {}, { hedge: {}, retry: {} }, ['retry', 'hedge']],
    ['neither', {}, { hedge: false, retry: false }, []],
  ])('has %s', (_, defaults, users, found) => {
    const { upstreams } = configured({ defaults, upstreams: { users } }).effective()
    expect(names(upstreams.users ?? []).filter((name) => name === 'retry' || name === 'hedge')).toEqual(found)
  })
})

describe('what is wrong is told', () => {
  it('all at once, each with its path', () => {
    const wrong = {
      agnet: {},
      agent: { connections: 1.5, proxy: 'ftp://me:secret@proxy' },
      defaults: { bulkhead: { limit: '10' } },
      upstreams: {
        users: {
          hosts: ['https://10.0.0.7/path', { origin: 'ftp://a', weight: -2, wieght: 3 }],
          retry: { maxAttempts: 0, backof: 3, retryOn: 3, backoff: { initialDelay: 'x' }, statuses: [501, 503] },
          hedge: true,
          circuitBreaker: { slowCallShare: 0.5 },
          rateLimit: {},
          deadline: 100,
          attemptTimeout: 200,
        },
        orders: { deadline: 0, balance: { algorithm: 'best' } },
        'Big Name': {},
      },
    }
    expect(problemsOf(wrong)).toMatchInlineSnapshot(`
      [
        "agnet: is no option; did you mean agent? known are $schema, agent, defaults, upstreams, routes",
        "agent.connections: must be a whole number of at least 1, got 1.5",
        "agent.proxy: must be false, the URL of a proxy such as "http://proxy:3128" or an object of options, got what is not shown, as it may be a secret",
        "defaults.bulkhead.limit: must be a whole number of at least 1, got "10"",
        "upstreams["Big Name"]: must be called a name in small letters, digits, ".", "_" and "-" that begins with a letter",
        "upstreams.users.hosts[0]: must be an http(s) origin such as "https://10.0.0.7:8443" or an object of options, got "https://10.0.0.7/path"",
        "upstreams.users.hosts[1].wieght: is no option; did you mean weight? known are origin, weight, servername, authority",
        "upstreams.users.hosts[1].origin: must be an http(s) origin such as "https://10.0.0.7:8443", got "ftp://a"",
        "upstreams.users.hosts[1].weight: must be a number from 0 to 1000000, got -2",
        "upstreams.users.retry.backof: is no option; did you mean backoff? known are maxAttempts, statuses, methods, backoff, maxDelay, respectRetryAfter, idempotent, replayLimit, budget",
        "upstreams.users.retry.retryOn: cannot be given as data: it is for chains that are made in code, retry({ retryOn })",
        "upstreams.users.retry.maxAttempts: must be a whole number of at least 1, got 0",
        "upstreams.users.retry.statuses[0]: must be a status from 400 to 599 that is not 501, got 501",
        "upstreams.users.retry.backoff.initialDelay: must be a number from 0 to 2147483647, got "x"",
        "upstreams.users.hedge: must be an object of options or false, got true",
        "upstreams.orders.deadline: must be a number from 1 to 2147483647 or false, got 0",
        "upstreams.orders.balance.algorithm: must be one of "peakEwma", "leastLoaded", "roundRobin", "random", "consistentHash", got "best"",
        "upstreams.users.rateLimit.limit: is missing: it must be a whole number from 1 to 9007199254740991",
        "upstreams.users.circuitBreaker.slowCallShare: slowCallShare and slowCallDuration must be given together",
        "upstreams.users.deadline: must be longer than attemptTimeout, which is 200, got 100",
        "upstreams.orders.balance: needs hosts: without them calls go where their URL says",
      ]
    `)
  })

  it.each([
    [
      { retry: { backoff: { initialDelay: 500, maxDelay: 100 } } },
      'retry.backoff.initialDelay: must be a number from 0 to 100, got 500',
    ],
    [
      { circuitBreaker: { windowCalls: 10, minimumCalls: 11 } },
      'circuitBreaker.minimumCalls: must be a whole number from 1 to 10, got 11',
    ],
    [
      { circuitBreaker: { failureShare: false } },
      'circuitBreaker.failureShare: failureShare is false: consecutiveFailures or slowCallShare must be given, or nothing opens it',
    ],
    [
      { adaptiveLimit: { minLimit: 10, maxLimit: 5 } },
      'adaptiveLimit.maxLimit: must be a whole number of at least 10, got 5',
    ],
    [
      { rateLimit: { limit: 5, algorithm: 'fixedWindow', burst: 5 } },
      'rateLimit.burst: burst is for tokenBucket only, got 5 for "fixedWindow"',
    ],
    [{ rateLimit: { window: 5 } }, 'rateLimit.limit: is missing: it must be a whole number from 1 to 9007199254740991'],
    [{ fallback: {} }, 'fallback: expects exactly one of value, respond and upstream, got none'],
    [{ fallback: { value: { status: 204, body: 'x' } } }, 'fallback.value.body: must be empty where the status is 204'],
    [{ hosts: [{ origin: 'http://a', weight: 0 }] }, 'hosts: at least one host must have a weight above 0'],
    [
      { hosts: ['http://a:99999'] },
      'hosts[0].origin: must be an http(s) origin such as https://10.0.0.7:8443, got "http://a:99999"',
    ],
    [
      { hosts: { dns: 'http://a', minTtl: 9, maxTtl: 5 } },
      'hosts.maxTtl: must be a number from 9 to 2147483647, got 5',
    ],
    [{ balance: {} }, 'balance: needs hosts: without them calls go where their URL says'],
  ])('where options do not fit together: %j', (upstream, problem) => {
    expect(problemsOfUpstream(upstream)).toEqual([problem])
  })

  it('at the defaults, where it stands there, and once', () => {
    const defaults = { circuitBreaker: { windowCalls: 10, minimumCalls: 11 } }
    expect(problemsOf({ defaults, upstreams: { users: {}, orders: {} } })).toEqual([
      'defaults.circuitBreaker.minimumCalls: must be a whole number from 1 to 10, got 11',
    ])
    expect(
      problemsOf({
        defaults: { circuitBreaker: { windowCalls: 10 } },
        upstreams: { users: { circuitBreaker: { minimumCalls: 11 } } },
      }),
    ).toEqual(['upstreams.users.circuitBreaker.minimumCalls: must be a whole number from 1 to 10, got 11'])
  })

  it('also of upstreams that are called as layers are, or as what every object has', () => {
    expect(problemsOf({ upstreams: { retry: { retryOn: 1 }, toString: { a: 1 } } })).toEqual([
      expect.stringMatching(/^upstreams\.toString: must be called a name in small letters/),
      expect.stringMatching(/^upstreams\.retry\.retryOn: is no option; did you mean retry\?/),
      expect.stringMatching(/^upstreams\.toString\.a: is no option; known are hosts, /),
    ])
  })

  it('of upstreams that are named by others', () => {
    const to = (upstream: string) => ({ fallback: { upstream } })
    expect(problemsOf({ upstreams: { users: to('order'), orders: to('http://a'), search: to('none') } })).toEqual([
      'upstreams.users.fallback.upstream: must be an http(s) origin or one of the upstreams users, orders, search, got "order"; did you mean orders?',
      'upstreams.search.fallback.upstream: must be an http(s) origin or one of the upstreams users, orders, search, got "none"',
    ])
    const mirrored = { ...to('b'), mirror: { to: 'f' } }
    expect(problemsOf({ upstreams: { a: to('b'), b: to('c'), c: mirrored, d: to('d'), e: to('a'), f: {} } })).toEqual([
      'upstreams.b.fallback.upstream: leads back to b, where the call comes from',
      'upstreams.c.fallback.upstream: leads back to c, where the call comes from',
      'upstreams.d.fallback.upstream: leads back to d, where the call comes from',
    ])
    const chain = Array.from({ length: 5_000 }, (_, at) => [`u${at}`, to(`u${at + 1}`)])
    expect(problemsOf({ upstreams: Object.fromEntries(chain) })).toEqual([
      expect.stringMatching(
        /^upstreams\.u4999\.fallback\.upstream: must be an http\(s\) origin or one of the upstreams/,
      ),
    ])
  })

  it('by an error with a code, whose message holds no more than a log bears', () => {
    const hosts = Array.from({ length: 100 }, () => 7)
    const make = () => fromConfig({ upstreams: { users: { hosts: hosts as never } } })
    expect(make).toThrow(ConfigError)
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_CONFIG', name: 'ConfigError' }))
    expect(make).toThrow(/^fromConfig:\n {2}upstreams\.users\.hosts\[0\]: must be [\s\S]*\n {2}and 50 more$/)
  })

  it('and the agent is not made twice', () => {
    const agent = createAgent()
    onTestFinished(() => agent.destroy())
    expect(problemsOf({ agent: {}, upstreams: {} }, { agent })).toEqual([
      'agent: must not be given beside an agent that was made in code',
    ])
    expect(() => fromConfig({ upstreams: {} }, { agent: 7 as never })).toThrow(
      'fromConfig: agent must be a dispatcher, got 7',
    )
    expect(() => fromConfig({ upstreams: {} }, { agnet: agent } as never)).toThrow('fromConfig: unknown option "agnet"')
  })
})

describe('what is no plain data', () => {
  it('is told with its path', () => {
    const cycle: Record<string, unknown> = {}
    cycle.retry = cycle
    const wrong = {
      upstreams: {
        users: {
          deadline: () => 5,
          bulkhead: new Map(),
          retry: Object.defineProperty({}, 'maxAttempts', {
            enumerable: true,
            get: () => {
              throw new Error('no')
            },
          }),
          hosts: [undefined, 'http://a'],
          circuitBreaker: undefined,
        },
        orders: cycle,
      },
    }
    expect(problemsOf(wrong)).toMatchInlineSnapshot(`
      [
        "upstreams.users.deadline: must be plain data, got a function",
        "upstreams.users.bulkhead: must be plain data, got an object of a class",
        "upstreams.users.retry.maxAttempts: could not be read: its getter throws",
        "upstreams.users.hosts[0]: must be a value, got undefined",
        "upstreams.orders.retry: must not refer back to what it is part of",
      ]
    `)
  })

  it('cannot change what all objects have', () => {
    const evil =
      '{"__proto__":{"polluted":1},"upstreams":{"users":{"retry":{"__proto__":{"maxAttempts":9}}},"__proto__":{},"constructor":{"prototype":{"polluted":1}}}}'
    expect(problemsOf(JSON.parse(evil))).toEqual([
      '__proto__: is a name that no configuration may hold',
      'upstreams.users.retry.__proto__: is a name that no configuration may hold',
      'upstreams.__proto__: is a name that no configuration may hold',
      'upstreams.constructor: is a name that no configuration may hold',
    ])
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })

  it('is bounded', () => {
    let deep: unknown = {}
    for (let level = 0; level < 10_000; level++) deep = { retry: deep }
    expect(problemsOf({ upstreams: { users: deep } }).at(0)).toMatch(/is more than 24 levels deep$/)
    expect(problemsOf({ upstreams: { users: { hosts: new Array(1e9) } } })).toEqual([
      ': must hold no more than 100000 values',
    ])
    const wide = { a: Array.from({ length: 400 }, () => 'http://a') }
    expect(problemsOf({ upstreams: Array.from({ length: 400 }, () => wide) })).toEqual([
      ': must hold no more than 100000 values',
    ])
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(problemsOf(proxy)).toEqual([': could not be read'])
  })

  it.each([undefined, null, 7, 'x', true, [], () => 5, Symbol('x'), 5n, new Date(0)])('is not %s', (value) => {
    expect(problemsOf(value)).toHaveLength(1)
  })
})
