import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the package. Every path below is relative to it, with forward slashes. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

/** The text of a file; throws an error that says so where there is none. */
export function read(path: string): string {
  if (!existsSync(join(root, path))) throw new Error(`${path} is not there`)
  return readFileSync(join(root, path), 'utf8')
}

/** Every file below `folder` that ends in one of `endings`, in order; none where there is no such folder. */
export function listFiles(folder: string, endings: readonly string[]): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .sort()
}
