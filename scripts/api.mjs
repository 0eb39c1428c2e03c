// Writes the list of public names, which a test compares with what the package exports: `npm run api`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { read, root } from '../test/house/files.ts'
import { apiListFile, publicApi } from '../test/house/public-api.ts'

writeFileSync(join(root, apiListFile), publicApi(read))
console.log(`wrote ${apiListFile}`)
