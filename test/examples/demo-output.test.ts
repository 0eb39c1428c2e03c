import { PassThrough } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { describe, expect, it } from 'vitest'
import { phaseTable } from '../../examples/demo/live.ts'
import { Screen } from '../../examples/demo/screen.ts'
import { Report } from '../../examples/demo/summary.ts'
import { tableLines } from '../../examples/demo/table.ts'
import { sumOf, Tally } from '../../examples/demo/tally.ts'

function screenOn(properties: Partial<WriteStream>, env: NodeJS.ProcessEnv = {}) {
  const stream = new PassThrough({ encoding: 'utf8' })
  const screen = new Screen(Object.assign(stream, properties) as unknown as WriteStream, env)
  return { screen, written: () => (stream.read() ?? '') as string }
}

const csi = '\u001b['

describe('the screen', () => {
  it('draws over its last lines on a terminal, and leaves the final ones', () => {
    const { screen, written } = screenOn({ isTTY: true, columns: 80 })
    screen.draw(['one', 'two'])
    expect(written()).toBe('one\ntwo\n')
    screen.draw(['three'])
    expect(written()).toBe(`${csi}2A${csi}1G${csi}0Jthree\n`)
    screen.finish(['four'])
    expect(written()).toBe(`${csi}1A${csi}1G${csi}0Jfour\n`)
    screen.draw(['five'])
    expect(written()).toBe('five\n')
  })

  it('goes back over all rows of a line that is wider than the terminal, colours not counted', () => {
    const { screen, written } = screenOn({ isTTY: true, columns: 10 })
    screen.draw([screen.style('red', 'ten-column'), 'x'.repeat(21)])
    written()
    screen.draw([])
    expect(written()).toContain(`${csi}4A`)
  })

  it.each([
    ['no terminal', { isTTY: false }, {}],
    ['a dumb terminal', { isTTY: true, columns: 80 }, { TERM: 'dumb' }],
  ])('writes only final lines, without escape codes, to %s', (_, properties, env) => {
    const { screen, written } = screenOn(properties, env)
    screen.draw(['first'])
    screen.draw(['second'])
    screen.finish([screen.style('red', 'last')])
    expect(written()).toBe('last\n')
  })

  it('leaves colours out where NO_COLOR is set, and only then', () => {
    const coloured = screenOn({ isTTY: true, columns: 80 }).screen
    expect(coloured.style('red', 'text')).toContain(csi)
    const plain = screenOn({ isTTY: true, columns: 80 }, { NO_COLOR: '1' }).screen
    expect(plain.style('red', 'text')).toBe('text')
  })
})

describe('the table', () => {
  it('pads columns before it colours them', () => {
    const lines = tableLines(
      [
        { title: 'name', align: 'left' },
        { title: 'n', align: 'right', width: 3 },
      ],
      [
        ['ab', '1'],
        ['c', '20'],
      ],
      { style: (padded, row, column) => `<${row}${column}${padded}>` },
    )
    expect(lines).toEqual(['<-10name>  <-11  n>', '<00ab  >  <01  1>', '<10c   >  <11 20>'])
  })

  it('of a phase fits into 80 columns', () => {
    const { screen } = screenOn({ isTTY: true, columns: 80 }, { NO_COLOR: '1' })
    const tally = new Tally()
    tally.calls = 9_999
    for (let call = 0; call < 9_999; call++) tally.end(call % 2 === 0, 3_456)
    const lane = {
      name: 'chain',
      tallies: { orders: tally, users: tally },
      view: () => ({ breaker: 'halfOpen', slots: 24, queued: 99 }),
    }
    const lines = phaseTable(screen, [lane as unknown as Parameters<typeof phaseTable>[1][number]])
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
    expect(lines[1]).toMatch(/^chain orders 9,999 5,000\s+4,999\s+0 halfOpen\s+24\s+99 3,4\d\d 3,4\d\d -$/)
  })
})

describe('the tally', () => {
  it('has no percentiles before a call is over', () => {
    const tally = new Tally()
    tally.calls = 3
    expect(tally.percentile(50)).toBeUndefined()
  })

  it('adds up', () => {
    const [fast, slow] = [new Tally(), new Tally()]
    for (let call = 0; call < 98; call++) fast.end(true, 10)
    for (let call = 0; call < 2; call++) slow.end(false, 500)
    slow.retries = 3
    slow.protocol = '2'
    const sum = sumOf([fast, slow])
    expect(sum).toMatchObject({ ok: 98, failed: 2, done: 100, failedMs: 1_000, retries: 3, protocol: '2' })
    expect(sum.percentile(50)).toBeCloseTo(10, 1)
    expect(sum.percentile(99)).toBeGreaterThan(490)
  })
})

it('the summary takes its figures from what was counted', () => {
  const report = new Report()
  const counted = (ok: number, failed: number, ms: number) => {
    const tally = new Tally()
    for (let call = 0; call < ok; call++) tally.end(true, ms)
    for (let call = 0; call < failed; call++) tally.end(false, ms)
    return tally
  }
  report.addCalls('bare', '30 % errors', { orders: counted(7, 3, 10), users: new Tally() })
  report.addCalls('chain', '30 % errors', { orders: counted(10, 0, 10), users: new Tally() })
  report.addCalls('bare', 'outage', { orders: counted(0, 4, 2_000), users: counted(5, 0, 700) })
  report.addCalls('chain', 'outage', { orders: counted(0, 4, 1), users: counted(5, 0, 20) })
  report.addCalls('bare', 'recovery', { orders: counted(1, 1, 2_000), users: new Tally() })
  const servers = (bare: number, chain: number) => {
    const users = { requests: 0, connections: 0, connectionsReset: 0 }
    const orders = (requests: number) => ({ requests, connections: 9, connectionsReset: 5 })
    return { bare: { orders: orders(bare), users }, chain: { orders: orders(chain), users } }
  }
  const atFirst = servers(0, 0)
  atFirst.bare.orders.connectionsReset = 2
  report.addServers('30 % errors', atFirst, servers(10, 14))
  report.addServers('30 % errors', servers(10, 14), servers(11, 15))
  report.addServers('outage', servers(10, 14), servers(90, 16))
  const lanes = [
    { name: 'bare', heldUp: 1_234 },
    { name: 'chain', heldUp: 0 },
  ] as unknown as Parameters<Report['lines']>[0]

  const figures = report.lines(lanes).map((line) => line.split(/ {2,}/))
  expect(figures.slice(1).map(([, bare, chain, by]) => [bare, chain, by])).toEqual([
    ['3 of 10', '0 of 10', 'callers'],
    ['14', '15', 'servers'],
    ['80', '2', 'servers'],
    ['10.0 s', '0.0 s', 'callers'],
    ['700 ms', '20 ms', 'callers'],
    ['1,234', '0', 'callers'],
  ])
})
