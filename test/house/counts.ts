/** What vitest's json reporter writes, as far as it is counted. */
export interface VitestResults {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

/** Tests by what became of them. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A file that could not even be loaded, or whose hooks failed, shows no failed test: it counts as one. */
export function countTests(results: VitestResults): Counts {
  const unloaded = results.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((assertion) => assertion.status === 'failed'),
  )
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + unloaded.length,
    skipped: results.numPendingTests + results.numTodoTests,
  }
}
