import { itHoldsOn, type Part } from './matrix.ts'

// On the newer ones, the fetch that users get over TLS: the dispatchers are the same code as on the oldest.
const parts: readonly Part[] = [
  { transport: 'h1c' },
  { transport: 'h1', subject: 'over the agent' },
  { transport: 'h2', subject: 'over the agent' },
]

itHoldsOn(24, 'node-24', parts)
itHoldsOn(26, 'node-26', parts)
