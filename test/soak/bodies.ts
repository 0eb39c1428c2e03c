import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { SoakBodyFailure } from './errors.ts'
import { repeated } from './steps.ts'

/** Bodies that arrive whole. */
export const soundBodies = [
  'string',
  'bytes',
  'generator',
  'readable',
  'large generator',
  'function',
  'form',
  'blob',
] as const
/** Bodies that break. */
export const failingBodies = ['failing generator', 'failing readable'] as const
export type BodyKind = (typeof soundBodies)[number] | (typeof failingBodies)[number]

/** More than this is not recorded for another attempt by the chains of the run. */
export const replayLimit = 24 * 1024
const largeBody = 60_000
const chunkSize = 8 * 1024

/** A body to send, and what a server should see of it. */
export interface MadeBody {
  readonly body: unknown
  /** Bytes and SHA-256, or `any` where the bytes are not known or not all of them come. */
  readonly expected: string
  /** What a failing body fails with. */
  readonly failure: Error | undefined
}

async function* inChunks(text: string, failure?: Error): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += chunkSize) {
    await turn()
    yield Buffer.from(text.slice(at, at + chunkSize))
  }
  if (failure !== undefined) throw failure
}

function fingerprint(text: string): string {
  return `${text.length}:${createHash('sha256').update(text).digest('hex')}`
}

function build(kind: BodyKind, text: string, failure: Error): unknown {
  switch (kind) {
    case 'string':
      return text
    case 'bytes':
      return Buffer.from(text)
    case 'generator':
    case 'large generator':
      return inChunks(text)
    case 'readable':
      return Readable.from(inChunks(text))
    case 'function':
      return () => inChunks(text)
    case 'form':
      return new URLSearchParams({ text })
    case 'blob':
      return new Blob([text])
    case 'failing generator':
      return inChunks(text, failure)
    case 'failing readable':
      return Readable.from(inChunks(text, failure))
  }
}

/** The body of one call. */
export function makeBody(kind: BodyKind, call: number): MadeBody {
  const large = kind === 'large generator'
  const text = repeated(`body of ${call};`, large ? largeBody : 200 + (call % 2000))
  const fails = kind === 'failing generator' || kind === 'failing readable'
  const failure = new SoakBodyFailure(`the body of call ${call} breaks`)
  const expected = kind === 'form' ? fingerprint(new URLSearchParams({ text }).toString()) : fingerprint(text)
  return {
    body: build(kind, text, failure),
    expected: fails ? 'any' : expected,
    failure: fails ? failure : undefined,
  }
}
