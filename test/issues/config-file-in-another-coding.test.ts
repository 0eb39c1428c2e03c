// A file that is not in UTF-8 was read all the same, with other letters in the place of those that are none: a password with
// an umlaut became another one.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, readConfig } from 'roundtripper/config'
import { expect, it, onTestFinished } from 'vitest'

it('a file that is no UTF-8 is an error', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'config-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const file = join(directory, 'upstreams.json')
  const json = JSON.stringify({ upstreams: { users: { fallback: { value: { body: 'für' } } } } })
  for (const coding of ['latin1', 'utf16le'] as const) {
    await writeFile(file, json, coding)
    const error = await readConfig(file, { env: {} }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).message).toContain(file)
  }
  await writeFile(file, `\uFEFF${json}`)
  const services = await readConfig(file, { env: {} })
  expect(JSON.stringify(services.effective())).toContain('für')
  await services.close()
})
