// Frames that no server in its right mind sends, each kind under its name. A kind gives the frames for one stream.
import { frame, words } from '../http2/frames.ts'

/** Chance, from a seed. */
export class Dice {
  readonly random: () => number
  constructor(random: () => number) {
    this.random = random
  }
  /** A whole number below. */
  below(limit: number): number {
    return Math.floor(this.random() * limit)
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }
  chance(share: number): boolean {
    return this.random() < share
  }
  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let at = 0; at < length; at++) bytes[at] = this.below(256)
    return bytes
  }
}

const data = 0
const headers = 1
const priority = 2
const reset = 3
const settings = 4
const push = 5
const ping = 6
const goaway = 7
const windowUpdate = 8
const continuation = 9
const endStream = 1
const endHeaders = 4
const padded = 8

// Without ENHANCE_YOUR_CALM, after which the agent asks a silent server a minute later only, and HTTP_1_1_REQUIRED.
const goawayCodes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 99]

const head = Buffer.from([0x88])
const largestId = 2 ** 31 - 1

/** A field that no table knows (RFC 7541 §6.2.2); both shorter than 127 bytes. */
function field(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name, 'latin1'),
    Buffer.from([value.length]),
    Buffer.from(value, 'latin1'),
  ])
}

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt32BE(value, 2)
  return bytes
}

function repeat(times: number, make: (at: number) => Buffer): Buffer[] {
  return Array.from({ length: times }, (_, at) => make(at))
}

function strangeStream(dice: Dice, stream: number): number {
  return dice.pick([0, 2, 4, stream + 2, stream + 1000, Math.max(1, stream - 2), largestId, stream])
}

type Kind = (dice: Dice, stream: number) => Buffer[]

/** A head, and a body that may be whole. */
function answer(dice: Dice, stream: number): Buffer[] {
  const length = dice.below(2000)
  return [
    frame(headers, endHeaders, stream, head),
    frame(data, 0, stream, Buffer.alloc(length, 'x')),
    frame(data, endStream, stream, Buffer.alloc(0)),
  ]
}

export const kinds: Readonly<Record<string, Kind>> = {
  answer,
  'random bytes': (dice) => [dice.bytes(1 + dice.below(200))],
  'random frames': (dice, stream) =>
    repeat(1 + dice.below(5), () =>
      frame(dice.below(14), dice.below(256), strangeStream(dice, stream), dice.bytes(dice.below(60))),
    ),
  'strange streams': (dice, stream) =>
    repeat(1 + dice.below(4), () => {
      const type = dice.pick([data, headers, reset, windowUpdate, priority])
      return frame(type, dice.pick([0, 1, 4, 5]), strangeStream(dice, stream), type === headers ? head : words(8))
    }),
  'too long frames': (dice, stream) => [
    frame(dice.pick([data, headers, settings, 11]), 0, stream, Buffer.alloc(16_385 + dice.below(60_000))),
  ],
  'lengths that lie': (dice, stream) => {
    const bytes = frame(dice.pick([data, headers, settings, ping, goaway]), 0, stream, dice.bytes(20))
    bytes.writeUIntBE(dice.pick([0, 1, 19, 21, 16_384, 2 ** 24 - 1]), 0, 3)
    return [bytes]
  },
  'CONTINUATION flood': (dice, stream) => {
    const each = dice.pick([0, 1, 100, 16_384])
    return [
      frame(headers, 0, stream, head),
      ...repeat(each > 1000 ? 30 : 300, () => frame(continuation, 0, stream, Buffer.alloc(each, field('x-a', 'b')))),
      ...(dice.chance(0.5) ? [frame(continuation, endHeaders, stream, Buffer.alloc(0))] : []),
    ]
  },
  'CONTINUATION in the wrong place': (dice, stream) => [
    ...(dice.chance(0.5) ? [frame(headers, 0, stream, head)] : []),
    frame(dice.pick([ping, settings, data]), 0, dice.pick([0, stream]), Buffer.alloc(8)),
    frame(continuation, endHeaders, strangeStream(dice, stream), head),
  ],
  'HPACK garbage': (dice, stream) => [
    frame(
      headers,
      endHeaders | dice.below(2),
      stream,
      dice.pick([
        dice.bytes(1 + dice.below(100)),
        Buffer.from([0x80]),
        Buffer.concat([head, Buffer.alloc(20, 0xff)]),
        Buffer.concat([Buffer.from([0x3f, 0xff, 0xff, 0xff, 0x7f]), head]),
        Buffer.concat([head, Buffer.from([0x00, 0x85, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x61])]),
        Buffer.concat([head, Buffer.from([0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f])]),
      ]),
    ),
  ],
  'HPACK bomb': (dice, stream) => {
    // One large entry in the table, named again and again.
    const entry = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from('b'), Buffer.from([0x7f, 0x81, 0x1e])])
    const block = Buffer.concat([head, entry, Buffer.alloc(127 + 3841, 'x'), Buffer.alloc(8000, 0xbe)])
    return [frame(headers, endHeaders | dice.below(2), stream, block)]
  },
  'strange heads': (dice, stream) => [
    frame(
      headers,
      endHeaders | dice.below(2),
      stream,
      dice.pick([
        field('x-no-status', '1'),
        field(':status', 'abc'),
        field(':status', '99999'),
        field(':status', '-1'),
        Buffer.concat([head, head]),
        Buffer.concat([head, field('X-Upper', '1')]),
        Buffer.concat([head, field('connection', 'close'), field('transfer-encoding', 'chunked')]),
        Buffer.concat([head, field('content-length', '7'), field('content-length', '8')]),
        Buffer.concat([head, field('content-length', '-1')]),
        Buffer.concat([head, field('__proto__', 'x'), field('constructor', 'y'), field('hasownproperty', 'z')]),
        Buffer.concat([head, field('a', '\r\nb: c'), field('d', '\0')]),
        Buffer.concat([field('a', 'b'), head]),
        Buffer.concat([head, ...repeat(1000, (at) => field(`x-${at}`, 'y'))]),
      ]),
    ),
    ...answer(dice, stream).slice(1),
  ],
  'interim heads': (dice, stream) => [
    ...repeat(dice.pick([1, 100, 500]), () =>
      frame(
        headers,
        endHeaders | (dice.chance(0.01) ? endStream : 0),
        stream,
        field(':status', dice.pick(['100', '103', '101'])),
      ),
    ),
    ...answer(dice, stream),
  ],
  'strange trailers': (dice, stream) => [
    ...answer(dice, stream).slice(0, 2),
    frame(
      headers,
      endHeaders | dice.below(2),
      stream,
      dice.pick([head, field(':path', '/'), field('a', 'b'), dice.bytes(9)]),
    ),
    frame(data, endStream, stream, Buffer.from('more')),
  ],
  'frames after the end': (dice, stream) => [
    ...answer(dice, stream),
    frame(
      dice.pick([data, headers, reset, windowUpdate]),
      dice.below(6),
      stream,
      dice.pick([head, words(1), words(0)]),
    ),
  ],
  'SETTINGS flood': (dice) =>
    repeat(dice.pick([1, 50, 1000]), () =>
      frame(
        settings,
        0,
        0,
        setting(dice.pick([1, 2, 3, 4, 5, 6, 8, 99]), dice.pick([0, 1, 100, 65_535, 2 ** 31, 2 ** 32 - 1])),
      ),
    ),
  'wrong SETTINGS': (dice, stream) => [
    frame(settings, dice.pick([0, 1]), dice.pick([0, stream]), dice.bytes(dice.pick([0, 1, 5, 6, 7, 600]))),
  ],
  'no room for streams': () => [frame(settings, 0, 0, setting(3, 0))],
  'window overflow': (dice, stream) =>
    repeat(1 + dice.below(3), () =>
      frame(
        windowUpdate,
        0,
        dice.pick([0, stream]),
        dice.pick([words(largestId), words(0), words(1), Buffer.alloc(3)]),
      ),
    ),
  'more than the window': (dice, stream) => [
    frame(headers, endHeaders, stream, head),
    ...repeat(dice.pick([20, 70]), () => frame(data, 0, stream, Buffer.alloc(16_384, 'x'))),
  ],
  PUSH_PROMISE: (dice, stream) => [
    frame(
      push,
      endHeaders,
      dice.pick([stream, 0]),
      Buffer.concat([words(dice.pick([2, 3, 0, stream])), Buffer.from([0x82, 0x84])]),
    ),
    frame(headers, endHeaders, 2, head),
  ],
  'RST flood': (dice, stream) =>
    repeat(dice.pick([1, 20, 1000]), () =>
      frame(reset, 0, dice.chance(0.9) ? stream : strangeStream(dice, stream), words(dice.below(13))),
    ),
  'PING flood': (dice, stream) =>
    repeat(dice.pick([1, 500]), () =>
      frame(ping, dice.below(2), dice.chance(0.99) ? 0 : stream, Buffer.alloc(dice.chance(0.99) ? 8 : 7)),
    ),
  GOAWAY: (dice, stream) =>
    repeat(1 + dice.below(3), () =>
      frame(
        goaway,
        0,
        0,
        Buffer.concat([words(dice.pick([0, stream, largestId]), dice.pick(goawayCodes)), dice.bytes(dice.below(30))]),
      ),
    ),
  PRIORITY: (_dice, stream) =>
    repeat(50, () => frame(priority, 0, stream, Buffer.concat([words(stream), Buffer.from([255])]))),
  padding: (dice, stream) => [
    frame(headers, endHeaders, stream, head),
    frame(
      data,
      padded | dice.below(2),
      stream,
      Buffer.concat([Buffer.from([dice.below(256)]), dice.bytes(dice.below(200))]),
    ),
  ],
  'empty DATA flood': (_dice, stream) => [
    frame(headers, endHeaders, stream, head),
    ...repeat(1000, () => frame(data, 0, stream, Buffer.alloc(0))),
  ],
  'a part, cut off': (dice, stream) => {
    const whole = Buffer.concat(answer(dice, stream))
    return [whole.subarray(0, dice.below(whole.length))]
  },
}

export const kindNames = Object.keys(kinds)
