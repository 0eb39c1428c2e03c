// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the environment are written so
import { describe, expect, it } from 'vitest'
import { configured, problemsOf, problemsOfUpstream } from './fixtures.ts'

function optionsOf(layer: string, upstream: object, env: Record<string, string>) {
  const { users = [] } = configured({ upstreams: { users: upstream } }, { env }).effective().upstreams
  return users.find((one) => one.layer === layer)?.options
}

describe('variables of the environment', () => {
  it('stand in texts, alone and beside others', () => {
    const hosts = ['${SCHEME}://${HOST}:${PORT:-8443}', { origin: '${ORIGIN:-http://b}' }]
    const env = { SCHEME: 'https', HOST: 'a', ORIGIN: '' }
    expect(optionsOf('balance', { hosts }, env)).toMatchObject({ hosts: ['https://a:8443', { origin: 'http://b' }] })
  })

  it('are numbers and truth values where these are wanted, and only where they are all of the text', () => {
    const env = { MS: '250', ON: 'true', OFF: 'false', SHARE: '2.5e-1', TEXT: '7' }
    expect(optionsOf('deadline', { deadline: '${MS}', attemptTimeout: 10 }, env)).toEqual({ duration: 250 })
    expect(
      optionsOf('circuitBreaker', { circuitBreaker: { shadow: '${ON}', failureShare: '${SHARE}' } }, env),
    ).toMatchObject({ shadow: true, failureShare: 0.25 })
    expect(optionsOf('retry', { retry: '${OFF}' }, env)).toBeUndefined()
    expect(optionsOf('fallback', { fallback: { value: { body: '${TEXT}' } } }, env)).toMatchObject({
      value: { body: '7' },
    })
    expect(problemsOfUpstream({ deadline: '${MS}0' }, { env })).toEqual([
      'deadline: must be a number from 1 to 2147483647 or false, got the value of "${MS}0"',
    ])
    expect(problemsOfUpstream({ deadline: '250' })).toEqual([
      'deadline: must be a number from 1 to 2147483647 or false, got "250"',
    ])
    for (const odd of ['', ' 250', '0x10', 'Infinity', 'NaN', '1_000', '+5', '.5']) {
      expect(problemsOfUpstream({ deadline: '${MS}' }, { env: { MS: odd } }), odd).toHaveLength(1)
    }
  })

  it('are not looked into again, and $${ is no variable', () => {
    const env = { A: '${B}$${B}${', B: 'secret' }
    const body = (text: string) => optionsOf('fallback', { fallback: { value: { body: text } } }, env)
    expect(body('${A}')).toMatchObject({ value: { body: '${B}$${B}${' } })
    expect(body('$${B} $$ $B {B} } $')).toMatchObject({ value: { body: '${B} $$ $B {B} } $' } })
    expect(body('${NONE:-}')).toMatchObject({ value: { body: '' } })
    expect(body('${NONE:-a:-b$}')).toMatchObject({ value: { body: 'a:-b$' } })
  })

  it('that are missing, or wrongly written, are told', () => {
    const env = Object.create({ INHERITED: 'x' })
    expect(
      problemsOfUpstream(
        {
          hosts: ['${A}', '${constructor}', '${INHERITED}', 'http://${B', '${C D}', '${}', '${E-x}'],
          deadline: '${DEADLINE}',
        },
        { env },
      ),
    ).toMatchInlineSnapshot(`
      [
        "hosts[0]: the environment has no variable A",
        "hosts[1]: the environment has no variable constructor",
        "hosts[2]: the environment has no variable INHERITED",
        "hosts[3]: has a \${ that no } ends; $\${ stands for \${ itself",
        "hosts[4]: must be \${NAME} or \${NAME:-fallback}, got "\${C D}"; $\${ stands for \${ itself",
        "hosts[5]: must be \${NAME} or \${NAME:-fallback}, got "\${}"; $\${ stands for \${ itself",
        "hosts[6]: must be \${NAME} or \${NAME:-fallback}, got "\${E-x}"; $\${ stands for \${ itself",
        "deadline: the environment has no variable DEADLINE",
      ]
    `)
  })

  it('stand in no name, and not in $schema', () => {
    expect(problemsOf({ $schema: '${A}', upstreams: { '${A}': {} } })).toEqual([
      'upstreams["${A}"]: must be called a name in small letters, digits, ".", "_" and "-" that begins with a letter',
    ])
  })

  it('may be secrets: no error tells them', () => {
    const secret = 'hunter2-hunter2'
    const env = { SECRET: secret, KEY: `ftp://${secret}` }
    const wrong = {
      agent: { proxy: '${KEY}', connections: '${SECRET}', http1Origins: ['${SECRET}'] },
      upstreams: {
        users: {
          hosts: ['${KEY}', { origin: 'http://${SECRET}:99999' }],
          retry: { methods: ['a b${SECRET}'] },
          fallback: { value: { headers: { 'x-a': '${SECRET}\n' } } },
          '${SECRET}': 1,
        },
      },
    }
    const found = problemsOf(wrong, { env })
    expect(found.length).toBeGreaterThan(6)
    expect(found.join('\n')).not.toContain('hunter2')
  })

  it('by default are those of the process', () => {
    expect(problemsOf({ upstreams: { users: { deadline: '${PATH}' } } }, { env: process.env })).toHaveLength(1)
  })
})
