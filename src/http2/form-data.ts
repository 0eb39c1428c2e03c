import { type Blob, Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { FormData } from 'undici'

// As the web standard writes multipart/form-data: names and file names with their quotes and line breaks escaped, line
// breaks of values as CRLF.

function escapeName(name: string): string {
  return name.replace(/\n/g, '%0A').replace(/\r/g, '%0D').replace(/"/g, '%22')
}

function crlf(text: string): string {
  return text.replace(/\r\n|\r|\n/g, '\r\n')
}

function newBoundary(): string {
  return `----formdata-undici-0${randomBytes(6).toString('hex').slice(1)}`
}

/**
 * A form as its parts and the content type with its boundary. Nothing but text is one part: a Blob of many is read part by
 * part, a turn of the event loop each.
 */
export function encodeForm(
  form: FormData,
  boundary = newBoundary(),
): { readonly parts: readonly (Buffer | Blob)[]; readonly contentType: string } {
  const head = `--${boundary}\r\nContent-Disposition: form-data`
  const parts: (Buffer | Blob)[] = []
  let text = ''
  for (const [name, value] of form) {
    text += `${head}; name="${escapeName(crlf(name))}"`
    if (typeof value === 'string') {
      text += `\r\n\r\n${crlf(value)}\r\n`
      continue
    }
    const { name: fileName, type } = value as { name?: string; type: string }
    if (fileName !== undefined && fileName !== '') text += `; filename="${escapeName(fileName)}"`
    text += `\r\nContent-Type: ${type || 'application/octet-stream'}\r\n\r\n`
    parts.push(Buffer.from(text), value as unknown as Blob)
    text = '\r\n'
  }
  parts.push(Buffer.from(`${text}--${boundary}--\r\n`))
  return { parts, contentType: `multipart/form-data; boundary=${boundary}` }
}
