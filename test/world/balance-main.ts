// Plays a group of hosts, one of them bad, with every algorithm, and writes the table of docs/balance.md: `npm run balance`.
// Seeded: the same again on every machine.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../house/files.ts'
import { balancePage, table, withTable } from './balance.ts'

const page = join(root, balancePage)
const made = await table()
console.log(made)
writeFileSync(page, withTable(readFileSync(page, 'utf8'), made))
console.log(`wrote ${page}`)
