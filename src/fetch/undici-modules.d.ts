// What fetch takes from undici's own modules, beyond its public names; the version of undici is pinned. A real Response
// can be made in no other way so that the getters and methods of `Response.prototype` see what it holds.

declare module 'undici/lib/web/fetch/formdata.js' {
  import type { FormData } from 'undici'

  export function getFormDataBoundary(form: FormData): string
}

declare module 'undici/lib/web/fetch/headers.js' {
  import type { Headers } from 'undici'

  export class HeadersList {
    append(name: string, value: string, isLowerCase: boolean): void
    readonly entriesList: [string, string][]
  }
  export function getHeadersList(headers: Headers): HeadersList
  export function setHeadersGuard(headers: Headers, guard: 'immutable'): void
  export function setHeadersList(headers: Headers, list: object): void
}

declare module 'undici/lib/web/fetch/request.js' {
  import type { Dispatcher, Request } from 'undici'
  import type { HeadersList } from 'undici/lib/web/fetch/headers.js'

  export interface RequestBody {
    readonly stream: ReadableStream<Uint8Array>
    readonly source: unknown
    readonly length: number | null
  }

  export interface RequestState {
    readonly method: string
    readonly headersList: HeadersList
    readonly urlList: readonly URL[]
    readonly body: RequestBody | null
    readonly redirect: 'follow' | 'manual' | 'error'
    readonly mode: string
    readonly cache: string
    readonly referrer: string | URL
    readonly referrerPolicy: string
    readonly integrity: string
  }

  export function getRequestState(request: Request): RequestState
  export function getRequestDispatcher(request: Request): Dispatcher | undefined
}

declare module 'undici/lib/web/fetch/response.js' {
  import type { Response } from 'undici'

  export interface ResponseState {
    type: string
    status: number
    statusText: string
    headersList: object
    urlList: readonly URL[]
    body: { stream: ReadableStream; source: unknown; length: number | null } | null
    /** Ours. */
    protocol?: string | undefined
  }

  export function getResponseState(response: Response): ResponseState
}

declare module 'undici/lib/web/fetch/util.js' {
  export const environmentSettingsObject: {
    readonly settingsObject: { readonly baseUrl: URL | undefined; readonly origin: string | undefined }
  }
  export function isURLPotentiallyTrustworthy(url: URL): boolean
  export function isValidEncodedURL(url: string): boolean
  export function requestBadPort(request: { readonly urlList: readonly URL[] }): 'blocked' | 'allowed'
  export function determineRequestsReferrer(request: {
    readonly referrer: string | URL
    readonly referrerPolicy: string
    readonly urlList: readonly URL[]
  }): string | URL
  export function setRequestReferrerPolicyOnRedirect(
    request: { referrerPolicy: string },
    response: { readonly headersList: { get(name: string): string | null } },
  ): void
}
