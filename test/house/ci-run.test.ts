import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { root } from './files.ts'

// .ci/run itself, with an npm that only pretends: what is tested is that it counts truthfully and goes on.
describe('.ci/run', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'roundtripper-ci-'))
    for (const name of ['.ci', 'bin']) mkdirSync(join(folder, name))
    copyFileSync(join(root, '.ci/run'), join(folder, '.ci/run'))
    writeCommand('go', 'echo go version')
    writeCommand('node', 'echo v20')
    for (const name of ['nginx', 'nghttpd', 'redis-server']) writeCommand(name, 'exit 0')
    writeCommand('timeout', 'shift 2; exec "$@"')
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  function writeCommand(name: string, script: string) {
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, 'bin', name), 0o755)
  }

  function run(cases: readonly string[]) {
    const good = [
      '"test") echo "40 0 0 unit tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '"run examples") printf "1 0 0 example a\\n1 0 0 example b\\n" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '"run test:e2e") echo "6 0 0 e2e tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '"run test:long") echo "4 0 0 long tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '"run test:redis") echo "7 0 0 redis tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '"run test:servers") echo "5 0 0 servers tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
    ]
    writeCommand('npm', ['echo "ran $*"', 'case "$*" in', ...cases, ...good, 'esac'].join('\n'))
    const { status, stdout } = spawnSync(join(folder, '.ci/run'), {
      env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
      encoding: 'utf8',
    })
    const lines = stdout.trimEnd().split('\n')
    return { status, stdout, last: lines.at(-1), ran: lines.filter((line) => line.startsWith('ran ')) }
  }

  it('adds up the tests and the steps', () => {
    const { status, last, ran } = run([])
    // 40 unit tests, 4 long ones, 6 end-to-end tests, 7 on Redis, 5 against servers, 2 examples; types, lint, package, demo and soak as one each.
    expect({ status, last }).toEqual({ status: 0, last: '69 passed, 0 failed' })
    expect(ran).toEqual([
      'ran ci',
      'ran test',
      'ran run test:long',
      'ran run typecheck',
      'ran run lint',
      'ran run check:package',
      'ran run examples',
      'ran run demo -- --once',
      'ran run soak -- --calls 25000',
      'ran run test:e2e',
      'ran run test:redis',
      'ran run test:servers',
    ])
  })

  it('goes on after a failed step, and fails in the end', () => {
    const { status, last, ran, stdout } = run(['"run typecheck") exit 2 ;;'])
    expect({ status, last }).toEqual({ status: 1, last: '68 passed, 1 failed' })
    expect(ran.at(-1)).toBe('ran run test:servers')
    expect(stdout).toContain('types (exit 2)')
  })

  it.each([
    [
      'failed tests once',
      '"test") echo "38 2 0 unit tests" >>"$ROUNDTRIPPER_COUNTS"; exit 1 ;;',
      '67 passed, 2 failed',
    ],
    ['an install that failed', '"ci") exit 1 ;;', '29 passed, 1 failed'],
    [
      'a run that ended badly though no test failed',
      '"test") echo "40 0 0 unit tests" >>"$ROUNDTRIPPER_COUNTS"; exit 1 ;;',
      '69 passed, 1 failed',
    ],
    [
      'a run without a single test',
      '"run test:e2e") echo "0 0 6 e2e tests" >>"$ROUNDTRIPPER_COUNTS" ;;',
      '63 passed, 1 failed, 6 skipped',
    ],
    [
      'one broken example',
      '"run examples") printf "1 0 0 a\\n0 1 0 b\\n" >>"$ROUNDTRIPPER_COUNTS"; exit 1 ;;',
      '68 passed, 1 failed',
    ],
  ])('counts %s', (_, failing, last) => {
    expect(run([failing])).toMatchObject({ status: 1, last })
  })

  it('names skipped tests without failing for them', () => {
    const skipping = '"test") echo "40 0 3 unit tests" >>"$ROUNDTRIPPER_COUNTS" ;;'
    expect(run([skipping])).toMatchObject({ status: 0, last: '69 passed, 0 failed, 3 skipped' })
  })

  it('asks for a real Jaeger in the end-to-end tests', () => {
    const without = '"run test:e2e") [ "$ROUNDTRIPPER_REQUIRE_JAEGER" = 1 ] || exit 1 ;;'
    expect(run([without])).toMatchObject({ status: 0, last: '64 passed, 0 failed' })
  })

  it('asks for a real Redis', () => {
    const without = '"run test:redis") [ "$ROUNDTRIPPER_REQUIRE_SERVERS" = 1 ] || exit 1 ;;'
    expect(run([without])).toMatchObject({ status: 0, last: '63 passed, 0 failed' })
  })

  it('asks for the programs of the runs against other servers', () => {
    const without = '"run test:servers") [ "$ROUNDTRIPPER_REQUIRE_SERVERS" = 1 ] || exit 1 ;;'
    expect(run([without])).toMatchObject({ status: 0, last: '65 passed, 0 failed' })
  })
})
