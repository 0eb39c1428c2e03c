// Writes the list of public names, the table of defaults and the schema of configurations, which tests compare with the code:
// `npm run api`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { optionsPage, publishedText, schemaFile, withOptions } from '../test/house/config-schema.ts'
import { defaultsPage, withDefaults } from '../test/house/defaults.ts'
import { read, root } from '../test/house/files.ts'
import { apiListFile, publicApi } from '../test/house/public-api.ts'

for (const [file, text] of [
  [apiListFile, publicApi(read)],
  [defaultsPage, withDefaults(read(defaultsPage))],
  [schemaFile, publishedText(read)],
  [optionsPage, withOptions(read(optionsPage), read)],
]) {
  writeFileSync(join(root, file), text)
  console.log(`wrote ${file}`)
}
