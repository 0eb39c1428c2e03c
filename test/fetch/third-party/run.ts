// Run by versions.test.ts on each version of Node. Plays every turn, and writes as JSON what failed.
import { cases } from './cases.ts'
import { turnsOf } from './world.ts'

const failures: { title: string; error: string }[] = []
const turns = turnsOf(cases)
for (const { title, play } of turns) {
  try {
    await play()
  } catch (error) {
    failures.push({ title, error: String((error as Error).stack) })
  }
}
process.stdout.write(JSON.stringify({ version: process.version, played: turns.length, failures }))
