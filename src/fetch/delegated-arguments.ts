import { FormData, Request, type RequestInfo, type RequestInit } from 'undici'
import { isForeignRequest, type Members, readMembers } from './request.ts'
import { isFormData } from './request-body.ts'

/** A copy that is undici's own and that nobody else can change while the call is under way. */
function copyForm(form: FormData): FormData {
  const copy = new FormData()
  for (const [name, value] of form.entries()) copy.append(name, value)
  return copy
}

/** What undici's fetch is called with. */
export interface FetchArguments {
  readonly input: RequestInfo
  readonly init: RequestInit
  /** The form to send, if it is a copy that only this call holds. */
  readonly form: FormData | undefined
}

/**
 * Makes of whatever a caller gives to fetch what undici's fetch understands. undici knows only its own classes: Node's
 * own FormData it sends as "[object FormData]", Node's own Request it takes for a URL.
 */
export function fetchArguments(input: unknown, members: Members): FetchArguments {
  const { dispatcher: _dispatcher, ...given } = members
  const isEmpty = Object.keys(given).length === 0
  let url = input
  let init: Members = given

  if (input instanceof Request) {
    // An init with members resets the referrer of the Request beside it, and undici counts our dispatcher as one.
    if (isEmpty) init = { referrer: input.referrer, referrerPolicy: input.referrerPolicy }
  } else if (isForeignRequest(input)) {
    url = input.url
    // keepalive means nothing outside browsers, and undici refuses it for a body that comes as a stream.
    const { keepalive: _, ...request } = readMembers(input)
    if (!isEmpty) {
      delete request.referrer
      delete request.referrerPolicy
    }
    init = { ...request, ...given, body: given.body ?? request.body }
    if (init.body) init.duplex ??= 'half'
  }

  let form: FormData | undefined
  if (isFormData(init.body)) {
    form = copyForm(init.body)
    init.body = form
  }
  return {
    input: url as RequestInfo,
    init: init as RequestInit,
    form,
  }
}
