import { createRequire } from 'node:module'

type Ajv2020 = typeof import('ajv/dist/2020.js')

const require = createRequire(import.meta.url)

// Loaded at the call and not by import, so that its absence can be explained.
/** The validator. Throws an error that says what to install where it is missing. */
export function loadAjv(): Ajv2020['Ajv2020'] {
  try {
    return (require('ajv/dist/2020.js') as Ajv2020).Ajv2020
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw cause
    throw new Error(
      'roundtripper/config checks configurations with the package ajv, which is not installed: npm install ajv@8',
      { cause },
    )
  }
}
