// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { codeOnly } from '../../src/config/code-only.ts'
import { schema } from '../../src/config/schema.ts'
import {
  described,
  fieldsOf,
  optionsPage,
  publishedSchema,
  publishedText,
  schemaFile,
  withOptions,
} from './config-schema.ts'
import { read } from './files.ts'

describe('the schema of a configuration', () => {
  it('is published as the code has it (npm run api writes it)', () => {
    expect(read(schemaFile)).toBe(publishedText(read))
  })

  it('is what the page tells (npm run api writes its tables)', () => {
    const page = read(optionsPage)
    expect(page).toBe(withOptions(page, read))
  })

  it('is a schema of draft 2020-12, and closed everywhere', () => {
    const compiled = new Ajv2020({ strict: true, allErrors: true }).compile(publishedSchema(read))
    const host = 'https://${USERS:-10.0.0.7}'
    const users = { hosts: [host], deadline: '${DEADLINE}', retry: { jitter: 1 } }
    expect(compiled({ upstreams: { users } })).toBe(false)
    expect(compiled.errors?.map(({ instancePath }) => instancePath)).toContain('/upstreams/users/retry')
    expect(compiled({ upstreams: { users: { ...users, retry: false, rateLimit: { algorithm: '${RATE}' } } } })).toBe(
      true,
    )
    for (const [name, part] of Object.entries({ ...schema.$defs, '': schema })) {
      expect(part.additionalProperties, name).toBe(false)
    }
  })

  // Of the agent's options those of undici are left out, and second names.
  const parts = Object.entries(described).filter(([part]) => !['', 'agent', 'proxy', 'fallbackAnswer'].includes(part))

  it.each(parts)('has every option of %s that data can say', (part, places) => {
    const fields = places.flatMap((place) => {
      const [file = '', name = ''] = place.split('#')
      return [...fieldsOf(read(file), name).keys()]
    })
    const elsewhere = part === 'balance' ? ['hosts', 'name'] : []
    const known = [...Object.keys(schema.$defs?.[part]?.properties ?? {}), ...(codeOnly.get(part) ?? []), ...elsewhere]
    expect([...new Set(fields)].toSorted()).toEqual([...new Set(known)].toSorted())
  })
})
