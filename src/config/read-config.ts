import { readFile } from 'node:fs/promises'
import { ConfigError } from './config-error.ts'
import { type ConfiguredUpstreams, type FromConfigOptions, fromSource } from './from-config.ts'
import { findJsonError } from './json-error.ts'

// What is not UTF-8 would become other letters, and none of them an error. A byte order mark, with which editors of Windows
// begin a file, is left out.
function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigError(file, [{ path: '', message: 'must be a text in UTF-8' }])
  }
}

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
  return fromSource(parse(String(file), decode(String(file), await readFile(file))), options, String(file))
}
