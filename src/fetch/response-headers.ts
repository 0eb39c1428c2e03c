import type { IncomingHttpHeaders } from 'node:http'
import { HeadersList } from 'undici/lib/web/fetch/headers.js'

interface Entry {
  readonly name: string
  readonly value: string
}

/**
 * The header list of a response, filled when somebody looks: few callers read more than a status and a body, and filling
 * costs as much as all the rest of a Response. undici's `Headers` sees a list of its own class.
 */
export class LazyHeadersList {
  private readonly headers: IncomingHttpHeaders
  private entriesByName: Map<string, Entry> | null = null
  private cookieList: string[] | null = null
  sortedMap: unknown = null

  constructor(headers: IncomingHttpHeaders) {
    this.headers = headers
  }

  get headersMap(): Map<string, Entry> {
    return this.entriesByName ?? this.fill()
  }

  get cookies(): string[] | null {
    if (this.entriesByName === null) this.fill()
    return this.cookieList
  }

  set cookies(cookies: string[] | null) {
    this.cookieList = cookies
  }

  private fill(): Map<string, Entry> {
    const filled = new Map<string, Entry>()
    this.entriesByName = filled
    const { headers } = this
    const list = this as unknown as HeadersList
    for (const name of Object.keys(headers)) {
      const value = headers[name]
      if (Array.isArray(value)) for (const one of value) list.append(name, `${one}`, false)
      else list.append(name, `${value}`, false)
    }
    return filled
  }
}

Object.setPrototypeOf(LazyHeadersList.prototype, HeadersList.prototype)
