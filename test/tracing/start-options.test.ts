import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { packages } from '../../src/tracing/sdk.ts'
import { type StartTracingOptions, startTracing } from '../../src/tracing/start.ts'
import { run } from './start-child.ts'

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

describe('options', () => {
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['no object', 'shop', /startTracing: options must be an object, got "shop"/],
    ['an unknown name', { service: 'shop' }, /unknown option "service"; known are serviceName, endpoint/],
    ['serviceName', { serviceName: '' }, /serviceName must be a string that is not empty, got ""/],
    ['serviceName of a number', { serviceName: 7 }, /serviceName must be a string that is not empty, got 7/],
    [
      'endpoint without a scheme',
      { endpoint: 'localhost:4318' },
      /endpoint must be an http\(s\) URL .* got "localhost:4318"/,
    ],
    ['endpoint that is no URL', { endpoint: 'nowhere' }, /endpoint must be an http\(s\) URL .* got "nowhere"/],
    ['headers as a list', { headers: ['a', 'b'] }, /headers must be an object of names and strings, got an array/],
    ['a header name', { headers: { 'a b': 'x' } }, /headers has a name or value that cannot be sent: "a b"/],
    ['a header value', { headers: { token: 1 } }, /headers has a name or value that cannot be sent: "token"/],
    ['ratio', { ratio: 1.5 }, /ratio must be a number from 0 to 1, got 1.5/],
    ['signals', { signals: 'SIGTERM' }, /signals must be true or false, got "SIGTERM"/],
    ['instrumentUndici', { instrumentUndici: 1 }, /instrumentUndici must be true or false, got 1/],
    ['spanProcessors', { spanProcessors: [{}] }, /spanProcessors must be an array of span processors/],
  ]
  it.each(wrong)('refuses %s, naming it', (_what, options, message) => {
    expect(() => startTracing(options as StartTracingOptions)).toThrow(message)
  })

  it('keeps a header value out of the error', () => {
    const options = { headers: { authorization: 'secret\n' } }
    expect(() => startTracing(options)).toThrow(/"authorization"$/)
  })
})

describe('packages', () => {
  const { devDependencies } = JSON.parse(readFileSync(path('package.json'), 'utf8'))

  it.each(Object.entries(packages))('names %s in the version that the kit is tested with', (name, version) => {
    expect(version).toBe(devDependencies[name])
  })

  it('are loaded by the call, not by the import', async () => {
    const { stdout } = await run(`
      const { createRequire } = await import('node:module')
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('sdk-node'))
      console.log(loaded())
      await startTracing().shutdown()
      console.log(loaded())
    `).ended
    expect(stdout).toBe('false\ntrue\n')
  })
})

describe('where a package is missing', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'roundtripper-start-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** What startTracing throws in a project that has only these packages beside the kit. */
  async function messageWith(installed: readonly string[]): Promise<string> {
    for (const part of ['tracing', 'policies'])
      cpSync(path(`src/${part}`), join(folder, 'src', part), { recursive: true })
    mkdirSync(join(folder, 'node_modules/@opentelemetry'), { recursive: true })
    for (const name of installed) symlinkSync(path(`node_modules/${name}`), join(folder, 'node_modules', name))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    const start = JSON.stringify(join(folder, 'src/tracing/start.ts'))
    const { stdout } = await run(`
      const fresh = await import(${start})
      try { fresh.startTracing() } catch ({ message }) { console.log(message) }
    `).ended
    return stdout.trim()
  }

  it('names the SDK to install', async () => {
    expect(await messageWith(['@opentelemetry/api'])).toBe(
      'startTracing: @opentelemetry/sdk-node is not installed: npm install @opentelemetry/sdk-node@0.301.0 @opentelemetry/instrumentation-undici@0.34.0',
    )
  })

  it('names the instrumentation to install, or the option to go without', async () => {
    expect(await messageWith(['@opentelemetry/api', '@opentelemetry/sdk-node'])).toBe(
      'startTracing: @opentelemetry/instrumentation-undici is not installed: npm install @opentelemetry/sdk-node@0.301.0 @opentelemetry/instrumentation-undici@0.34.0, or pass instrumentUndici: false',
    )
  })

  it('names the versions that fit where another SDK is installed', async () => {
    const other = join(folder, 'node_modules/@opentelemetry/sdk-node')
    mkdirSync(other, { recursive: true })
    writeFileSync(join(other, 'package.json'), '{ "name": "@opentelemetry/sdk-node" }')
    writeFileSync(join(other, 'index.js'), '')
    expect(await messageWith(['@opentelemetry/api'])).toBe(
      'startTracing: @opentelemetry/core is not installed with this version of @opentelemetry/sdk-node: npm install @opentelemetry/sdk-node@0.301.0 @opentelemetry/instrumentation-undici@0.34.0',
    )
  })
})
