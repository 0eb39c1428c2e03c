import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^roundtripper$/, replacement: source('index.ts') },
      { find: /^roundtripper\/tracing$/, replacement: source('tracing/start.ts') },
      { find: /^roundtripper\/redis$/, replacement: source('redis/redis-store.ts') },
      { find: /^roundtripper\/config$/, replacement: source('config/index.ts') },
      { find: /^roundtripper\/testing$/, replacement: source('testing/index.ts') },
    ],
  },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 10_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/servers/**', 'test/redis/**', 'test/**/*.long.test.ts'],
        },
      },
      { extends: true, test: { name: 'long', include: ['test/**/*.long.test.ts'], testTimeout: 60_000 } },
      { extends: true, test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 60_000 } },
      {
        extends: true,
        test: {
          name: 'redis',
          include: ['test/redis/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: ['test/servers/**/*.test.ts'],
          // One server after the other: each run is as much as the machine can do.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
