import type { Area } from './case.ts'
import { aborts } from './cases/aborts.ts'
import { bodies } from './cases/bodies.ts'
import { borrowed } from './cases/borrowed.ts'
import { decompression } from './cases/decompression.ts'
import { failures } from './cases/failures.ts'
import { headers } from './cases/headers.ts'
import { inits } from './cases/init.ts'
import { inputs } from './cases/inputs.ts'
import { handedOn } from './cases/local.ts'
import { raw } from './cases/raw.ts'
import { reading } from './cases/reading.ts'
import { redirects } from './cases/redirects.ts'
import { responses } from './cases/responses.ts'
import { signals } from './cases/signals.ts'

export const allAreas: readonly Area[] = [
  inputs,
  inits,
  headers,
  bodies,
  responses,
  raw,
  redirects,
  decompression,
  reading,
  borrowed,
  aborts,
  signals,
  failures,
  handedOn,
]
