import { expect, it } from 'vitest'
import { itHoldsOn, matrixOutput } from './matrix.ts'

// Every dispatcher; TLS adds nothing to HTTP/1.1 but bytes.
itHoldsOn(22, 'node', [{ transport: 'h1c' }, { transport: 'h1', subject: 'over the agent' }, { transport: 'h2' }])

it('what is sent is handed on to undici.fetch only where that is meant', async () => {
  expect(JSON.parse(await matrixOutput(process.execPath, ['--delegated']))).toEqual([])
}, 300_000)
