import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { agentDefaults, standardDefaults } from 'roundtripper'
import { expect, it } from 'vitest'
import { read, root } from '../house/files.ts'

const page = read('README.md')

/** What the README's table of the standard chain says of a layer. */
function saidOf(layer: string): string {
  return new RegExp(String.raw`^\| \[${layer}\]\(.*?\) \| (?<text>.*) \|$`, 'm').exec(page)?.groups?.text ?? ''
}

it('the README tells the defaults as they are', () => {
  const { deadline, retry, circuitBreaker, bulkhead, attemptTimeout, bodyTimeout } = standardDefaults
  const seconds = (ms: number) => `${ms / 1_000} s`
  expect(saidOf('deadline')).toContain(seconds(deadline))
  expect(saidOf('retry')).toContain(`${retry.maxAttempts} attempts`)
  expect(saidOf('retry')).toContain(`from ${retry.backoff.initialDelay} ms with jitter`)
  expect(saidOf('retry')).toContain(`at most ${seconds(retry.maxDelay)} a wait`)
  expect(saidOf('retry')).toContain(`${retry.statuses.join(', ')} and network errors`)
  expect(circuitBreaker.failureShare).toBe(0.5)
  expect(saidOf('circuitBreaker')).toContain(`half of at least ${circuitBreaker.minimumCalls} attempts`)
  expect(saidOf('circuitBreaker')).toContain(`within ${seconds(circuitBreaker.window)} failed`)
  expect(circuitBreaker.probes).toBe(1)
  expect(saidOf('circuitBreaker')).toContain(`after ${seconds(circuitBreaker.openFor)}, one probe`)
  expect(saidOf('bulkhead')).toBe(
    `${bulkhead.limit} at once an origin, ${bulkhead.queue.toLocaleString('en')} may queue`,
  )
  expect(saidOf('attemptTimeout')).toContain(seconds(attemptTimeout))
  expect(saidOf('bodyTimeout')).toContain(seconds(bodyTimeout))
  expect(saidOf('agent')).toContain(`${agentDefaults.connections} connections an origin`)
  expect(saidOf('agent')).toContain(`kept ${seconds(agentDefaults.keepAliveTimeout)} when idle`)
})

it('every file that the README links to is there', () => {
  const targets = [...page.matchAll(/\]\((?<target>(?!https?:)[^)#]+)/g)].map((match) => match.groups!.target!)
  expect(targets.length).toBeGreaterThan(10)
  expect(targets.filter((target) => !existsSync(join(root, target)))).toEqual([])
})
