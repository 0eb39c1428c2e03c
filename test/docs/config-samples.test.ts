// What the page of configurations shows, run.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFetch } from 'roundtripper'
import { type Config, ConfigError, fromConfig, readConfig } from 'roundtripper/config'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { read } from '../house/files.ts'
import { serve } from './support.ts'

async function fileOf(config: Config): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roundtripper-config-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'upstreams.json')
  await writeFile(file, JSON.stringify(config))
  return file
}

it('config: is read from a file', async () => {
  const server = await serve({ body: 'Ada' })
  const file = await fileOf({ upstreams: { users: { hosts: [server.origin] } } })
  // #region read
  const services = await readConfig(file) // such as 'upstreams.json'
  const { body } = await request('http://users/7', { dispatcher: services.dispatcher })
  const same = await services.fetch('http://users/7')
  // #endregion
  expect(await body.text()).toBe('Ada')
  expect(await same.text()).toBe('Ada')
  await services.close()
})

it('config: is what the page shows', async () => {
  const [, shown = ''] = /```json\n([\s\S]*?)```/.exec(read('docs/config.md')) ?? []
  await using services = fromConfig(JSON.parse(shown) as Config, { env: {} })
  expect(Object.keys(services.upstreams)).toEqual(['users', 'search'])
})

it('config: is an object', async () => {
  const server = await serve({ body: 'Ada' })
  const env = { USERS_ORIGIN: server.origin }
  // #region object
  const config = {
    defaults: { deadline: 5_000, retry: { maxAttempts: 3 } },
    upstreams: {
      users: { hosts: ['${USERS_ORIGIN}'], bulkhead: { limit: 32 } },
      search: {
        hosts: { dns: 'https://search.internal:8443' },
        hedge: { delay: 200 },
        attemptTimeout: '${SEARCH_MS:-800}',
      },
    },
    routes: [
      { path: '/users/*', to: 'users' },
      { path: '/find', to: 'search' },
    ],
  } as const satisfies Config // `as const`, so that the names of upstreams are known
  await using services = fromConfig(config, { env }) // process.env, unless told otherwise
  const fetchUsers = createFetch(services.upstreams.users)
  const ada = await fetchUsers('http://users/7')

  const effective = JSON.stringify(services.effective(), null, 2) // every layer, every option, defaults included
  // #endregion
  expect(effective).toContain('"minimumSamples": 100')
  expect(await ada.text()).toBe('Ada')
})

it('config: tells all that is wrong', () => {
  const config = { upstreams: { users: { retry: { maxAttempts: 0 }, bulkhed: {} } } } as Config
  let errors: ConfigError['errors'] = []
  // #region errors
  try {
    fromConfig(config)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    errors = error.errors // { path, message }: all of them at once
  }
  // #endregion
  expect(errors.map(({ path }) => path)).toEqual(['upstreams.users.bulkhed', 'upstreams.users.retry.maxAttempts'])
})

it('config: is read again', async () => {
  const server = await serve({ body: 'Ada' })
  const file = await fileOf({ upstreams: { users: { hosts: [server.origin] } } })
  // #region reload
  let services = await readConfig(file)
  const current = () => services.dispatcher // asked for with each call, not kept

  async function reload() {
    const old = services
    services = await readConfig(file) // where this throws, the old ones go on
    await old.close() // waits for the calls that are under way
  }
  // #endregion
  const before = request('http://users/7', { dispatcher: current() })
  await reload()
  const after = request('http://users/8', { dispatcher: current() })
  for (const { body } of await Promise.all([before, after])) expect(await body.text()).toBe('Ada')
  await services.close()
})
