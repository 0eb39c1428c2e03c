import { FormData, Request, type RequestInit } from 'undici'

type Fetch = (input: unknown, init: unknown) => Promise<Response>

// By name, because they are getters of the prototype. keepalive means nothing outside browsers, and is refused for a body
// that is a stream, as that of a Request is to strangers.
const members = [
  'body',
  'cache',
  'credentials',
  'duplex',
  'headers',
  'integrity',
  'method',
  'mode',
  'redirect',
  'referrer',
  'referrerPolicy',
  'signal',
] as const satisfies (keyof Request)[]

function membersOf(request: Request): object {
  return Object.fromEntries(members.map((name) => [name, request[name]]))
}

/** The same form in the class that is global now. */
function translated(form: FormData): globalThis.FormData {
  const copy = new globalThis.FormData()
  // A File brings its name along.
  for (const [name, value] of form.entries()) copy.append(name, value as unknown as Blob)
  return copy
}

/**
 * Calls a fetch that was global before ours, for somebody who has kept ours. Where undici's classes are no longer global,
 * that fetch may not know them: Node's own takes undici's Request for a URL, and sends "[object FormData]". So it is given
 * what every fetch understands.
 */
export function passOn(fetch: Fetch, input: unknown, init: unknown): Promise<Response> {
  if (globalThis.Request !== (Request as unknown)) {
    if (input instanceof Request) {
      const request = init == null ? input : new Request(input, init as RequestInit)
      return fetch.call(globalThis, request.url, membersOf(request))
    }
    const body = (init as RequestInit | null | undefined)?.body
    if (body instanceof FormData) return fetch.call(globalThis, input, { ...(init as object), body: translated(body) })
  }
  return fetch.call(globalThis, input, init)
}
