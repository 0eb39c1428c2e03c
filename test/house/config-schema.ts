import { schema } from '../../src/config/schema.ts'
import type { Schema } from '../../src/config/schema-parts.ts'
import { wordsFor } from '../../src/config/schema-walk.ts'

/** The published schema; `npm run api` writes it. */
export const schemaFile = 'config.schema.json'

type Read = (path: string) => string

const types = 'src/config/types.ts'

/** Where the options of each part are described: interfaces of the sources, a later one first. */
export const described: Readonly<Record<string, readonly string[]>> = {
  '': [`${types}#Config`],
  agent: ['src/dispatchers/agent-options.ts#AgentOptions', `${types}#AgentConfig`],
  connect: [`${types}#ConnectConfig`],
  proxy: ['src/dispatchers/proxy-options.ts#ProxyOptions'],
  layers: [`${types}#LayersConfig`],
  upstream: [`${types}#LayersConfig`, `${types}#UpstreamConfig`],
  host: ['src/policies/host.ts#HostOptions'],
  dnsHosts: ['src/dispatchers/dns-hosts.ts#DnsHostsOptions', `${types}#DnsHostsConfig`],
  route: ['src/policies/route-rule.ts#RouteRule', `${types}#RouteConfig`],
  contextHeaders: ['src/dispatchers/context-headers.ts#ContextHeadersOptions', `${types}#ContextHeadersConfig`],
  contextHeaderNames: ['src/context/headers.ts#ContextHeaderNames'],
  canary: ['src/dispatchers/canary.ts#CanaryOptions'],
  canaryVariant: ['src/dispatchers/canary.ts#CanaryVariant', `${types}#CanaryVariantConfig`],
  canaryKey: [`${types}#CanaryKeyConfig`],
  mirror: ['src/dispatchers/mirror.ts#MirrorOptions', `${types}#MirrorConfig`],
  slowStart: ['src/policies/slow-start.ts#SlowStartOptions'],
  balanceKey: [`${types}#BalanceKeyConfig`],
  tracing: ['src/tracing/tracing.ts#TracingOptions'],
  logging: ['src/dispatchers/logging.ts#LoggingOptions'],
  fallback: ['src/dispatchers/fallback.ts#FallbackOptions'],
  fallbackAnswer: ['src/dispatchers/fallback-answer.ts#FallbackAnswer'],
  rateLimit: [
    'src/policies/rate-limit-options.ts#RateLimitUpdate',
    'src/policies/rate-limit-options.ts#RateLimitOptions',
  ],
  retry: ['src/policies/retry.ts#RetryOptions', 'src/dispatchers/retry.ts#RetryOptions'],
  backoff: ['src/policies/backoff.ts#ExponentialBackoffOptions'],
  retryBudget: ['src/policies/retry-budget.ts#RetryBudgetOptions'],
  hedge: ['src/policies/hedge.ts#HedgeOptions', 'src/dispatchers/hedge.ts#HedgeOptions'],
  balance: ['src/policies/balance-options.ts#BalanceOptions'],
  ejection: ['src/policies/ejection-options.ts#EjectionOptions'],
  successShare: ['src/policies/ejection-options.ts#SuccessShareOptions'],
  hostFailureShare: ['src/policies/ejection-options.ts#FailureShareOptions'],
  health: ['src/policies/health-options.ts#HealthOptions'],
  circuitBreaker: ['src/policies/circuit-options.ts#CircuitBreakerOptions'],
  bulkhead: ['src/policies/bulkhead.ts#BulkheadOptions', 'src/dispatchers/bulkhead.ts#BulkheadOptions'],
  adaptiveLimit: [
    'src/policies/adaptive-limit.ts#AdaptiveLimitOptions',
    'src/dispatchers/adaptive-limit.ts#AdaptiveLimitOptions',
  ],
}

/** The comments of the fields of an interface, or of a type that is written like one, without their tags. */
export function fieldsOf(source: string, name: string): Map<string, string> {
  const start = new RegExp(`^export (?:interface|type) ${name}\\b`, 'm').exec(source)
  if (start === null) throw new Error(`there is no interface ${name}`)
  const rest = source.slice(start.index)
  const body = rest.slice(0, rest.search(/^[})>]/m))
  const fields = new Map<string, string>()
  for (const [, comment = '', field = ''] of body.matchAll(
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*readonly ([\w$]+)\??:/g,
  )) {
    const text = comment.replace(/^\s*\* ?/gm, '').split('@default')[0] as string
    fields.set(
      field,
      text
        .replace(/\{@link (\w+)\}/g, '`$1`')
        .replace(/\s+/g, ' ')
        .trim(),
    )
  }
  return fields
}

function descriptionsOf(part: string, read: Read): Map<string, string> {
  const places = described[part]
  if (places === undefined) throw new Error(`test/house/config-schema.ts does not say where ${part} is described`)
  return new Map(
    places.flatMap((place) => {
      const [file = '', name = ''] = place.split('#')
      return [...fieldsOf(read(file), name)]
    }),
  )
}

const variable: Schema = { title: 'a variable', type: 'string', pattern: '^\\$\\{[^}]*\\}$' }
const withVariables: Schema = { title: 'a text with variables', type: 'string', pattern: '\\$\\{' }

const toVariable: Schema = { $ref: '#/$defs/variable' }
const toWithVariables: Schema = { $ref: '#/$defs/withVariables' }

/** What an editor must also take for it, since it sees the configuration before variables have their values. */
function insteadOf({ type, pattern, enum: words }: Schema): Schema | null {
  if (type === 'string') return pattern === undefined && words === undefined ? null : toWithVariables
  return type === 'number' || type === 'integer' || type === 'boolean' ? toVariable : null
}

function forEditors(given: Schema): Schema {
  const { anyOf, items, properties, additionalProperties, ...rest } = given
  const mapped: Record<string, unknown> = { ...rest }
  if (items !== undefined) mapped.items = forEditors(items)
  if (typeof additionalProperties === 'object') mapped.additionalProperties = forEditors(additionalProperties)
  else if (additionalProperties !== undefined) mapped.additionalProperties = additionalProperties
  if (properties !== undefined) {
    const all = Object.entries(properties).map(([name, schema]) => [name, forEditors(schema)])
    mapped.properties = Object.fromEntries(all)
  }
  if (anyOf !== undefined) {
    const forms = anyOf.map((form) => (insteadOf(form) === null ? forEditors(form) : form))
    mapped.anyOf = [...forms, ...new Set(anyOf.flatMap((form) => insteadOf(form) ?? []))]
    return mapped
  }
  const instead = insteadOf(given)
  if (instead === null) return mapped
  const { default: byDefault, description, ...form } = mapped as Schema
  return {
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
    anyOf: [form, instead],
  }
}

function withDescriptions(part: string, given: Schema, read: Read): Schema {
  if (given.properties === undefined) return given
  const known = descriptionsOf(part, read)
  const properties = Object.entries(given.properties).map(([name, schema]) => {
    const description = known.get(name)
    if (!description) throw new Error(`nothing describes ${name} of ${part || 'the configuration'}`)
    return [name, { description, ...schema }]
  })
  return { ...given, properties: Object.fromEntries(properties) }
}

/** The schema that validates, as it is published: with descriptions, and with variables where values may stand. */
export function publishedSchema(read: Read): Schema {
  const { $schema, $defs = {}, ...root } = schema
  const parts = Object.entries($defs).map(([name, part]) => [name, forEditors(withDescriptions(name, part, read))])
  return {
    ...($schema === undefined ? {} : { $schema }),
    title: 'roundtripper',
    description: 'Chains for the upstreams of a service, made by fromConfig() of roundtripper/config',
    ...forEditors(withDescriptions('', root, read)),
    $defs: { ...Object.fromEntries(parts), variable, withVariables },
  }
}

export function publishedText(read: Read): string {
  return `${JSON.stringify(publishedSchema(read), null, 2)}\n`
}

/** The page with the tables of options; `npm run api` writes them. */
export const optionsPage = 'docs/config.md'

const begin = '<!-- options -->'
const end = '<!-- /options -->'

const titles: Readonly<Record<string, string>> = {
  '': 'The whole',
  agent: '`agent`',
  upstream: 'An upstream, and `defaults`',
}

function shown(given: Schema): string {
  if (given.$ref !== undefined) {
    const part = given.$ref.slice('#/$defs/'.length)
    if (part === 'layers' || part === 'upstream') return '[layers](#an-upstream-and-defaults)'
    return schema.$defs?.[part]?.properties === undefined ? wordsFor(given) : `[${part}](#${part.toLowerCase()})`
  }
  if (given.anyOf !== undefined && given.title === undefined) return given.anyOf.map(shown).join(', or ')
  if (given.type === 'array') return `a list: ${shown(given.items as Schema)}`
  if (typeof given.additionalProperties === 'object') return `by name: ${shown(given.additionalProperties)}`
  return wordsFor(given)
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function tableOf(part: string, given: Schema, read: Read): string {
  const known = descriptionsOf(part, read)
  const rows = Object.entries(given.properties ?? {}).map(([name, one]) => {
    const byDefault = one.default === undefined ? '' : `\`${JSON.stringify(one.default).replaceAll(',', ', ')}\``
    const needed = given.required?.includes(name) ? ', needed' : ''
    return `| \`${name}\` | ${cell(shown(one))}${needed} | ${cell(byDefault)} | ${cell(known.get(name) ?? '')} |`
  })
  return [`### ${titles[part] ?? part}`, '', '| option | value | default | |', '|---|---|---|---|', ...rows].join('\n')
}

/** A page with its tables as they are to be. */
export function withOptions(page: string, read: Read): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${optionsPage} has no ${begin} ... ${end}`)
  const { $defs = {}, ...root } = schema
  // `defaults` takes what an upstream takes, but for its hosts.
  const parts = Object.entries({ '': root, ...$defs }).filter(([part]) => part !== 'layers')
  const tables = parts.map(([part, given]) => tableOf(part, given, read))
  return `${page.slice(0, from + begin.length)}\n\n${tables.join('\n\n')}\n\n${page.slice(to)}`
}
