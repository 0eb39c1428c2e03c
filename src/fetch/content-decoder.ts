import { pipeline, Transform, type TransformCallback } from 'node:stream'
import zlib from 'node:zlib'

// As lenient as browsers and curl: a body that ends too early gives what there was of it.
const zlibOptions = { flush: zlib.constants.Z_SYNC_FLUSH, finishFlush: zlib.constants.Z_SYNC_FLUSH }
const brotliOptions = {
  flush: zlib.constants.BROTLI_OPERATION_FLUSH,
  finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH,
}
const zstdOptions = {
  flush: zlib.constants.ZSTD_e_continue,
  finishFlush: zlib.constants.ZSTD_e_end,
  // RFC 9659 §3: a window of at most 8 MiB.
  params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 },
}

type Coding = 'gzip' | 'deflate' | 'br' | 'zstd'

// More would be an attack on memory.
const mostCodings = 5

// Up to these sizes a body that has come whole is decoded at once, without a stream, which costs a hundred times as much.
const largestSyncInput = 16 * 1024
const largestSyncOutput = 256 * 1024

/** Bytes of `deflate` are in zlib's format by the standard, and bare from some servers. */
function isBareDeflate(chunk: Buffer): boolean {
  return ((chunk[0] ?? 0) & 0x0f) !== 0x08
}

/**
 * The codings of a body, the last one applied first; `null` where there is nothing to decode: no coding, or one that is
 * not known, where the bytes are the caller's as they are.
 *
 * @throws Error where there are more than five.
 */
export function readCodings(header: string | string[] | undefined): Coding[] | null {
  if (header === undefined || header === '') return null
  const given = String(header).toLowerCase().split(',')
  if (given.length > mostCodings) {
    throw new Error(`too many content-encodings in response: ${given.length}, maximum allowed is ${mostCodings}`)
  }
  const codings: Coding[] = []
  for (const one of given) {
    const coding = one.trim()
    if (coding === 'gzip' || coding === 'x-gzip') codings.push('gzip')
    else if (coding === 'deflate' || coding === 'br' || coding === 'zstd') codings.push(coding)
    else return null
  }
  return codings.reverse()
}

function decodeSync(coding: Coding, input: Buffer): Buffer {
  const maxOutputLength = largestSyncOutput
  if (coding === 'gzip') return zlib.gunzipSync(input, { ...zlibOptions, maxOutputLength })
  if (coding === 'br') return zlib.brotliDecompressSync(input, { ...brotliOptions, maxOutputLength })
  if (coding === 'zstd') return zlib.zstdDecompressSync(input, { ...zstdOptions, maxOutputLength })
  if (isBareDeflate(input)) return zlib.inflateRawSync(input, { ...zlibOptions, maxOutputLength })
  return zlib.inflateSync(input, { ...zlibOptions, maxOutputLength })
}

/** A small body decoded at once; `null` where that is not for now: it is large, or broken. */
export function decodeSmall(codings: readonly Coding[], input: Buffer): Buffer | null {
  if (codings.length !== 1 || input.byteLength > largestSyncInput) return null
  try {
    return decodeSync(codings[0] as Coding, input)
  } catch {
    // The stream finds out how far it can be read, and fails with its own error.
    return null
  }
}

/** Finds out by the first byte in which of its two formats `deflate` comes. */
class Inflate extends Transform {
  #inflate: zlib.Inflate | zlib.InflateRaw | null = null

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (chunk.length === 0) {
      done()
      return
    }
    this.#inflate ??= this.#start(chunk)
    this.#inflate.write(chunk, done)
  }

  override _flush(done: TransformCallback): void {
    // It has ended already where bytes come after the end of what was compressed.
    if (this.#inflate === null || this.#inflate.readableEnded) {
      done()
      return
    }
    this.#inflate.once('end', done)
    this.#inflate.end()
  }

  override _read(size: number): void {
    this.#inflate?.resume()
    super._read(size)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inflate?.destroy()
    done(error)
  }

  #start(first: Buffer): zlib.Inflate | zlib.InflateRaw {
    const inflate = isBareDeflate(first) ? zlib.createInflateRaw(zlibOptions) : zlib.createInflate(zlibOptions)
    // A few bytes can become a thousand times as many: nobody may be made to hold them all.
    inflate.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) inflate.pause()
    })
    // What comes behind the end is no part of the body. zlib takes none of it, and does not say so to whoever writes it.
    inflate.on('end', () => this.push(null))
    inflate.on('error', (error) => this.destroy(error))
    return inflate
  }
}

function decoderOf(coding: Coding): Transform {
  if (coding === 'gzip') return zlib.createGunzip(zlibOptions)
  if (coding === 'br') return zlib.createBrotliDecompress(brotliOptions)
  if (coding === 'zstd') return zlib.createZstdDecompress(zstdOptions)
  return new Inflate()
}

/** Who takes what a {@link ContentDecoder} gives. */
export interface DecodedSink {
  decoded(chunk: Buffer): void
  decodedAll(): void
  decodingFailed(error: Error): void
  /** The decoder has room again. */
  decoderDrained(): void
}

/** Decodes a body as it comes. */
export class ContentDecoder {
  readonly #first: Transform
  readonly #last: Transform

  constructor(codings: readonly Coding[], sink: DecodedSink) {
    const decoders = codings.map(decoderOf)
    this.#first = decoders[0] as Transform
    this.#last = decoders.at(-1) as Transform
    this.#last.on('data', (chunk: Buffer) => sink.decoded(chunk))
    this.#first.on('drain', () => sink.decoderDrained())
    this.#last.on('end', () => sink.decodedAll())
    const failed = (error?: Error | null) => {
      if (error) sink.decodingFailed(error)
    }
    // A pipeline without an error has only written all: its last stream may still have much to give.
    if (decoders.length === 1) this.#last.on('error', failed)
    else pipeline(decoders as never, failed)
  }

  /** Returns `false` where the next chunk should wait. */
  write(chunk: Buffer): boolean {
    return this.#first.write(chunk)
  }

  end(): void {
    this.#first.end()
  }

  /** Holds the output back. */
  pause(): void {
    this.#last.pause()
  }

  resume(): void {
    this.#last.resume()
  }

  destroy(): void {
    this.#first.destroy()
    this.#last.destroy()
  }
}
