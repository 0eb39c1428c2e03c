import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Every program in `folder` by name, in order: `NAME.ts`, or a folder NAME with a `main.ts`. */
export function listExamples(folder = 'examples'): Map<string, string> {
  if (!existsSync(folder)) return new Map()
  const programs: [name: string, file: string][] = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const main = join(folder, entry.name, 'main.ts')
    if (entry.isDirectory() && existsSync(main)) programs.push([entry.name, main])
    if (entry.isFile() && entry.name.endsWith('.ts')) programs.push([entry.name.slice(0, -3), join(folder, entry.name)])
  }
  return new Map(programs.sort(([a], [b]) => (a < b ? -1 : 1)))
}
