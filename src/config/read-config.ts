import { readFile } from 'node:fs/promises'
import { ConfigError } from './config-error.ts'
import { type ConfiguredUpstreams, type FromConfigOptions, fromSource } from './from-config.ts'
import { findJsonError } from './json-error.ts'

function parse(file: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    const { at, expected } = findJsonError(json) ?? { at: 0, expected: 'JSON' }
    const lines = json.slice(0, at).split('\n')
    const place = `${file}:${lines.length}:${(lines.at(-1) as string).length + 1}`
    throw new ConfigError(place, [{ path: '', message: `is no JSON: expected ${expected}` }])
  }
}

/**
 * Reads a configuration from a JSON file, and does with it what {@link fromConfig} does.
 *
 * @throws ConfigError that names the file, and for what is no JSON the line and the column; an error of Node's where the file
 * cannot be read.
 */
export async function readConfig(file: string | URL, options: FromConfigOptions = {}): Promise<ConfiguredUpstreams> {
  const json = await readFile(file, 'utf8')
  // Editors of Windows begin a file with a byte order mark.
  return fromSource(parse(String(file), json.replace(/^\uFEFF/, '')), options, String(file))
}
