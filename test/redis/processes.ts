import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endWithUs } from '../servers/programs.ts'

/** What a process is to do. */
export interface ChildTask {
  /** Of Redis. */
  readonly port: number
  readonly origin: string
  readonly calls: number
  /** Milliseconds from one call to the next; 0: all at once. */
  readonly every: number
  readonly limit: number
  readonly window: number
  readonly queue: number
}

/** What became of its calls. */
export interface ChildReport {
  admitted: number
  refused: number
  /** Failed in another way. */
  lost: number
  /** Codes of process warnings. */
  readonly warnings: readonly string[]
}

const program = fileURLToPath(new URL('./process.child.ts', import.meta.url))

/** Two processes with the same task, begun at the same time. */
export async function twoProcesses(task: ChildTask): Promise<ChildReport[]> {
  const children = [1, 2].map(() => endWithUs(fork(program, [JSON.stringify(task)], { execArgv: [] })))
  await Promise.all(children.map((child) => once(child, 'message')))
  const reports = children.map((child) => once(child, 'message'))
  for (const child of children) child.send('go')
  return (await Promise.all(reports)).map(([report]) => report as ChildReport)
}
