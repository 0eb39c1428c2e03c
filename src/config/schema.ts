import { agentDefaults } from '../dispatchers/agent-options.ts'
import {
  headerName,
  headers,
  layerProperties,
  layerSchemas,
  method,
  origin,
  partSchemas,
  upstreamName,
} from './schema-layers.ts'
import { either, flag, listOf, number, options, ref, type Schema, text, textLike, whole } from './schema-parts.ts'

const largestWindow = 2 ** 31 - 1
const pem: Schema = either(text, listOf(text, 1))
const secret: Schema = { ...text, writeOnly: true }

const connect: Schema = options({
  ca: pem,
  cert: pem,
  key: { ...pem, writeOnly: true },
  passphrase: secret,
  servername: text,
  rejectUnauthorized: flag,
})

// Its host may come without a scheme; a password may be in it.
const proxyUrl: Schema = {
  ...textLike(
    'the URL of a proxy such as "http://proxy:3128"',
    '^(?:[hH][tT][tT][pP][sS]?://|(?![A-Za-z][A-Za-z0-9+.-]*://))\\S+$',
  ),
  writeOnly: true,
}

const proxy: Schema = options({ url: proxyUrl, noProxy: { type: 'string' }, headers }, {}, ['url'])

const agent: Schema = options(
  {
    keepAliveTimeout: number(1),
    connections: whole(1),
    maxConnections: whole(1),
    acquireTimeout: number(0),
    connectTimeout: number(0),
    maxConnectionAge: number(1),
    pingInterval: number(0),
    pingTimeout: number(1),
    maxConcurrentStreams: whole(1),
    initialWindowSize: whole(1, largestWindow),
    connectionWindowSize: whole(1, largestWindow),
    allowH2: flag,
    http1Origins: listOf(origin),
    useH2c: flag,
    proxy: either({ const: false }, proxyUrl, ref('proxy')),
    connect: ref('connect'),
  },
  {
    ...agentDefaults,
    initialWindowSize: 262_144,
    connectionWindowSize: 524_288,
    allowH2: true,
    http1Origins: [],
    useH2c: false,
    proxy: 'env',
  },
)

const servername = textLike('the name of a host', '^[^\\s/?#@:\\\\]+$')
const authority = textLike('a host, and its port', '^[^\\s/?#@\\\\]+$')
const host: Schema = options({ origin, weight: number(0, 1e6), servername, authority }, { weight: 1 }, ['origin'])

const route: Schema = options(
  {
    path: text,
    methods: listOf(method, 1),
    host: text,
    headers: {
      type: 'object',
      propertyNames: headerName,
      additionalProperties: either({ type: 'string', writeOnly: true }, flag),
    },
    contentType: text,
    priority: number(-1e6, 1e6),
    name: text,
    to: text,
  },
  { priority: 0 },
  ['to'],
)

const upstream: Schema = options({
  hosts: either(listOf(either(origin, ref('host')), 1), ref('dnsHosts')),
  ...layerProperties,
})

const upstreams: Schema = {
  type: 'object',
  propertyNames: upstreamName,
  additionalProperties: ref('upstream'),
}

/** The schema of a configuration, after the variables in it have got their values. */
export const schema: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  ...options(
    { $schema: text, agent: ref('agent'), defaults: ref('layers'), upstreams, routes: listOf(ref('route'), 1) },
    {},
    ['upstreams'],
  ),
  $defs: {
    agent,
    connect,
    proxy,
    layers: options(layerProperties),
    upstream,
    host,
    route,
    ...layerSchemas,
    ...partSchemas,
  },
}
