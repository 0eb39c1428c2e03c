import { metastableOverload } from './metastable-overload.ts'
import { retryStorm } from './retry-storm.ts'
import type { Scenario } from './scenario.ts'
import { slowDependency } from './slow-dependency.ts'
import { thunderingHerd } from './thundering-herd.ts'

/** All scenarios, in the order of their page. */
export const scenarios: readonly Scenario[] = [retryStorm, slowDependency, thunderingHerd, metastableOverload]
