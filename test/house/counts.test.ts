import { expect, it } from 'vitest'
import { countTests } from './counts.ts'

const passed = { status: 'passed', assertionResults: [{ status: 'passed' }] }

it('counts passed, failed and skipped tests', () => {
  const failed = { status: 'failed', assertionResults: [{ status: 'passed' }, { status: 'failed' }] }
  const results = { numPassedTests: 2, numFailedTests: 1, numPendingTests: 3, numTodoTests: 1 }
  expect(countTests({ ...results, testResults: [passed, failed] })).toEqual({ passed: 2, failed: 1, skipped: 4 })
})

it('counts a file that failed without a failed test', () => {
  const unloaded = { status: 'failed', assertionResults: [] }
  const results = { numPassedTests: 1, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  expect(countTests({ ...results, testResults: [passed, unloaded] })).toEqual({ passed: 1, failed: 1, skipped: 0 })
})
