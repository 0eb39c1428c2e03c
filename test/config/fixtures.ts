import {
  type Config,
  ConfigError,
  type ConfiguredUpstreams,
  type FromConfigOptions,
  fromConfig,
} from 'roundtripper/config'
import { devCertificate } from 'roundtripper/testing'
import { onTestFinished } from 'vitest'

const certificate = await devCertificate()

/** A configuration that names every option there is. */
export const everything = {
  $schema: './node_modules/roundtripper/config.schema.json',
  agent: {
    keepAliveTimeout: 60_000,
    connections: 256,
    maxConnections: 1000,
    acquireTimeout: 30_000,
    connectTimeout: 10_000,
    maxConnectionAge: 600_000,
    pingInterval: 2_000,
    pingTimeout: 2_000,
    maxConcurrentStreams: 100,
    initialWindowSize: 262_144,
    connectionWindowSize: 524_288,
    allowH2: true,
    http1Origins: ['https://old.example.com'],
    useH2c: false,
    proxy: { url: 'http://proxy:3128', noProxy: 'localhost', headers: { 'x-a': 'b' } },
    connect: {
      ca: [certificate.ca],
      cert: certificate.cert,
      key: certificate.key,
      passphrase: 'secret',
      servername: 'example.com',
      rejectUnauthorized: true,
    },
  },
  defaults: { tracing: false, retry: { maxAttempts: 3 } },
  upstreams: {
    users: {
      hosts: [
        'https://10.0.0.7:8443',
        { origin: 'https://10.0.0.8:8443', weight: 2, servername: 'users', authority: 'users' },
      ],
      canary: {
        variants: { stable: { weight: 95 }, next: { weight: 5, to: 'search' } },
        header: 'x-variant',
        by: { cookie: 'session' },
      },
      tracing: { callSpan: false, unreadBodyTimeout: 30_000 },
      logging: { unreadBodyTimeout: false },
      fallback: { value: { status: 503, headers: { 'x-a': ['b', 'c'] }, body: 'none' }, replayLimit: 1024 },
      deadline: 30_000,
      contextHeaders: {
        origins: ['https://*.example.com'],
        fields: ['requestId', 'deadline'],
        names: { requestId: 'x-id', deadline: 'grpc-timeout', priority: 'x-priority', tenant: 'x-tenant' },
      },
      rateLimit: {
        limit: 100,
        window: 1000,
        algorithm: 'tokenBucket',
        burst: 10,
        queue: 10,
        queueTimeout: 1000,
        maxServerWait: 1000,
        maxKeys: 10,
        serverHeaders: true,
        shadow: false,
      },
      retry: {
        maxAttempts: 4,
        statuses: [503],
        methods: ['GET'],
        backoff: { initialDelay: 10, maxDelay: 100, exponent: 2, jitter: 'full' },
        maxDelay: 1000,
        respectRetryAfter: true,
        idempotent: false,
        replayLimit: 1024,
        budget: { share: 0.2, window: 10_000, minPerSecond: 10, shadow: false },
      },
      hedge: false,
      balance: {
        algorithm: 'consistentHash',
        key: { header: 'x-user' },
        loadFactor: 1.25,
        decayTime: 10_000,
        ejection: {
          consecutiveFailures: 5,
          interval: 10_000,
          successShare: { deviations: 1.9, minimumCalls: 100, minimumHosts: 5 },
          failureShare: { share: 0.85, minimumCalls: 50, minimumHosts: 5 },
          ejectionTime: 30_000,
          maxEjectionTime: 300_000,
          jitter: 0.1,
          maxEjected: 0.5,
        },
        health: {
          path: '/healthz',
          interval: 10_000,
          timeout: 2_000,
          healthyThreshold: 2,
          unhealthyThreshold: 3,
          expect: [200],
          concurrency: 8,
          headers: { 'x-a': 'b' },
        },
        panicThreshold: 0.5,
        slowStart: { duration: 10_000, minWeight: 0.1, aggression: 1 },
        refresh: 30_000,
      },
      circuitBreaker: {
        failureShare: 0.5,
        window: 10_000,
        windowCalls: 100,
        minimumCalls: 20,
        consecutiveFailures: 5,
        openFor: 5_000,
        openForFactor: 2,
        openForMax: 60_000,
        openForJitter: 0.1,
        probes: 1,
        slowCallShare: 0.5,
        slowCallDuration: 1000,
        shadow: false,
      },
      bulkhead: { limit: 256, queue: 1024, queueTimeout: 1000, shadow: false, unreadBodyTimeout: 30_000 },
      adaptiveLimit: {
        algorithm: 'vegas',
        initialLimit: 20,
        minLimit: 1,
        maxLimit: 1000,
        window: 250,
        windowCalls: 100,
        normalShare: 0.9,
        sheddableShare: 0.7,
        slowAfter: 5_000,
        shadow: false,
        unreadBodyTimeout: 30_000,
      },
      attemptTimeout: 10_000,
      bodyTimeout: 30_000,
    },
    search: {
      canary: { variants: { stable: { weight: 1 } }, by: { header: 'x-user' } },
      mirror: {
        to: 'https://shadow.example.com',
        share: 0.1,
        methods: ['GET'],
        concurrency: 32,
        queue: 64,
        timeout: 10_000,
        bodyLimit: 1024,
        mark: 'x-mirrored',
      },
      hosts: { dns: 'https://search.internal:8443', family: 4, minTtl: 1_000, maxTtl: 60_000 },
      hedge: {
        maxHedges: 1,
        delay: 100,
        percentile: 0.95,
        minimumSamples: 100,
        minDelay: 10,
        methods: ['GET'],
        idempotent: false,
        budget: false,
        replayLimit: 1024,
      },
      fallback: { upstream: 'https://backup.example.com' },
    },
  },
  routes: [
    {
      path: '/users/*',
      methods: ['GET'],
      host: '*.example.com',
      headers: { 'x-a': 'b', 'x-c': true },
      contentType: 'application/json',
      priority: 1,
      name: 'all',
      to: 'users',
    },
    { to: 'search' },
  ],
} satisfies Config

/** Chains of a configuration, destroyed with the test. */
export function configured(config: unknown, options: FromConfigOptions = {}): ConfiguredUpstreams {
  const made = fromConfig(config as Config, { env: {}, ...options })
  onTestFinished(() => made.destroy())
  return made
}

/** What is wrong with a configuration, a line for each; throws where nothing is, and for any other error. */
export function problemsOf(config: unknown, options: FromConfigOptions = {}): string[] {
  try {
    void configured(config, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.errors.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

/** The same for the options of one upstream, whose paths are left out. */
export function problemsOfUpstream(upstream: unknown, options: FromConfigOptions = {}): string[] {
  return problemsOf({ upstreams: { users: upstream } }, options).map((line) => line.replace(/^upstreams\.users\.?/, ''))
}
