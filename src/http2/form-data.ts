import { Blob, Buffer } from 'node:buffer'
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

/** A form as one Blob, which knows its length and can be read more than once, and the content type with its boundary. */
export function encodeForm(
  form: FormData,
  boundary = newBoundary(),
): { readonly blob: Blob; readonly contentType: string } {
  const head = `--${boundary}\r\nContent-Disposition: form-data`
  const parts: (Buffer | Blob)[] = []
  for (const [name, value] of form) {
    const given = `${head}; name="${escapeName(crlf(name))}"`
    if (typeof value === 'string') {
      parts.push(Buffer.from(`${given}\r\n\r\n${crlf(value)}\r\n`))
      continue
    }
    const { name: fileName, type } = value as { name?: string; type: string }
    const file = fileName === undefined || fileName === '' ? '' : `; filename="${escapeName(fileName)}"`
    parts.push(Buffer.from(`${given}${file}\r\nContent-Type: ${type || 'application/octet-stream'}\r\n\r\n`))
    parts.push(value as unknown as Blob, Buffer.from('\r\n'))
  }
  parts.push(Buffer.from(`--${boundary}--\r\n`))
  return { blob: new Blob(parts as never), contentType: `multipart/form-data; boundary=${boundary}` }
}
