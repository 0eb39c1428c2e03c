// Writes the list of public names and the table of defaults, which tests compare with the code: `npm run api`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultsPage, withDefaults } from '../test/house/defaults.ts'
import { read, root } from '../test/house/files.ts'
import { apiListFile, publicApi } from '../test/house/public-api.ts'

for (const [file, text] of [
  [apiListFile, publicApi(read)],
  [defaultsPage, withDefaults(read(defaultsPage))],
]) {
  writeFileSync(join(root, file), text)
  console.log(`wrote ${file}`)
}
