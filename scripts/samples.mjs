// Fills the fences of README.md and docs/ from the program regions their markers name: `npm run samples`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles, read, root } from '../test/house/files.ts'
import { fillSamples } from '../test/house/samples.ts'

for (const page of ['README.md', ...listFiles('docs', ['.md'])]) {
  const before = readFileSync(join(root, page), 'utf8')
  const after = fillSamples(page, before, read)
  if (after === before) continue
  writeFileSync(join(root, page), after)
  console.log(`updated ${page}`)
}
