// A name server on loopback that answers as it is told: A and AAAA over UDP (RFC 1035), as far as a test needs it.
import { createSocket } from 'node:dgram'
import { promises as dns } from 'node:dns'
import { onTestFinished } from 'vitest'

const types = { A: 1, AAAA: 28 } as const
const codes = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const

export type RecordType = keyof typeof types

/** Addresses, each with its TTL in seconds; or an error; or no answer at all. */
export type DnsAnswer = readonly (readonly [address: string, ttl: number])[] | keyof typeof codes | 'silence'

export interface DnsServer {
  /** What is answered for each type, whatever the name; nothing: an answer without records. */
  readonly answers: Partial<Record<RecordType, DnsAnswer>>
  /** What was asked, in order: `A users.test`. */
  readonly queries: string[]
  /** Asks this server once, and gives up as soon as c-ares can: after a quarter of a second. */
  resolver(): dns.Resolver
}

function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [before = '', after = ''] = address.split('::')
  const parts = (text: string) => (text === '' ? [] : text.split(':').map((part) => Number.parseInt(part, 16)))
  const [head, tail] = [parts(before), parts(after)]
  const bytes = Buffer.alloc(16)
  for (const [at, part] of head.entries()) bytes.writeUInt16BE(part, 2 * at)
  for (const [at, part] of tail.entries()) bytes.writeUInt16BE(part, 2 * (8 - tail.length + at))
  return bytes
}

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function replyTo(query: Buffer, end: number, type: number, answer: Exclude<DnsAnswer, 'silence'>): Buffer {
  const records = typeof answer === 'string' ? [] : answer
  const head = Buffer.alloc(12)
  head.writeUInt16BE(query.readUInt16BE(0), 0)
  // An answer, recursion asked for and offered.
  head.writeUInt16BE(0x8180 | (typeof answer === 'string' ? codes[answer] : 0), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(records.length, 6)
  const lines = records.map(([address, ttl]) => {
    const bytes = bytesOf(address)
    const line = Buffer.alloc(12)
    // The name of the question, by its place.
    line.writeUInt16BE(0xc00c, 0)
    line.writeUInt16BE(type, 2)
    line.writeUInt16BE(1, 4)
    line.writeUInt32BE(ttl, 6)
    line.writeUInt16BE(bytes.length, 10)
    return Buffer.concat([line, bytes])
  })
  return Buffer.concat([head, query.subarray(12, end), ...lines])
}

/** Starts one on a free port, closed with the test. */
export async function serveDns(answers: DnsServer['answers'] = {}): Promise<DnsServer> {
  const socket = createSocket('udp4')
  const queries: string[] = []
  socket.on('message', (query, { port, address }) => {
    const { name, type, end } = questionOf(query)
    const asked = type === types.A ? 'A' : 'AAAA'
    queries.push(`${asked} ${name}`)
    const answer = answers[asked] ?? []
    if (answer !== 'silence') socket.send(replyTo(query, end, type, answer), port, address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  onTestFinished(() => void socket.close())
  const { port } = socket.address()
  const resolver = () => {
    const made = new dns.Resolver({ timeout: 1, tries: 1 })
    made.setServers([`127.0.0.1:${port}`])
    return made
  }
  return { answers, queries, resolver }
}
