import { isJudgement, type OutcomeKind } from './outcome.ts'

/** Whether two outcomes are of one kind; `undefined` where either says nothing about the server it was to come from. */
export function areAlike(original: OutcomeKind, copy: OutcomeKind): boolean | undefined {
  if (!isJudgement(original) || !isJudgement(copy)) return undefined
  return original === copy
}

/** What the copies of the calls to one origin have come to. */
export class MirrorTally {
  mirrored = 0
  dropped = 0
  failed = 0
  same = 0
  different = 0
  /** Copies that wait or are under way, and those of a body that is still being read. */
  inUse = 0

  get idle(): boolean {
    return this.inUse === 0
  }

  compare(alike: boolean | undefined): void {
    if (alike === true) this.same++
    else if (alike === false) this.different++
  }
}
