import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from './servers.ts'

const put = (body: unknown): RequestInit => ({ method: 'PUT', body: body as BodyInit })
const text = 'grüße 🐇'

describe.each(protocols)("createFetch with Node's own classes over $protocol", ({ protocol }) => {
  it('sends a FormData as a form', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const made = new globalThis.FormData()
    made.append('a', 'b')
    made.append('file', new File(['content'], 'name.txt', { type: 'text/x' }))

    const response = await createFetch(agent)(server.url(), put(made))

    const { body } = (await response.json()) as { body: string }
    expect(body).toContain('name="a"\r\n\r\nb')
    expect(body).toContain('filename="name.txt"\r\nContent-Type: text/x\r\n\r\ncontent')
    expect(server.requests[0]?.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/)
  })

  it('sends a Request with its method, headers and body', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const request = new globalThis.Request(server.url('/x'), {
      method: 'PATCH',
      headers: { 'x-own': 'yes' },
      body: text,
      keepalive: true,
      referrer: 'https://example.com/from',
      referrerPolicy: 'unsafe-url',
    })
    const echo = (await (await createFetch(agent)(request)).json()) as { headers: Record<string, string> }
    expect(echo).toMatchObject({ method: 'PATCH', path: '/x', body: text })
    expect(echo.headers).toMatchObject({ 'x-own': 'yes', 'content-type': 'text/plain;charset=UTF-8' })
    expect(echo.headers.referer).toBe('https://example.com/from')
    expect(request.bodyUsed).toBe(true)
  })

  it('lets the init beside a Request win', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const request = new globalThis.Request(server.url(), {
      method: 'POST',
      headers: { 'x-own': 'yes' },
      body: 'of the request',
      referrer: 'https://example.com/from',
    })
    const response = await createFetch(agent)(request, { method: 'PUT', body: 'given', headers: { 'x-given': '1' } })
    const echo = (await response.json()) as { headers: Record<string, string> }
    expect(echo).toMatchObject({ method: 'PUT', body: 'given' })
    expect(echo.headers).toHaveProperty('x-given')
    expect(echo.headers).not.toHaveProperty('x-own')
    expect(echo.headers).not.toHaveProperty('referer')
    expect(request.bodyUsed).toBe(false)
  })

  it('fails where a 307 asks again for the body of a Request, which it knows only as a stream', async () => {
    const { server, agent } = await serve({ protocol, respond: { status: 307, headers: { location: '/new' } } })
    const request = new globalThis.Request(server.url(), { method: 'PUT', body: text })
    await expect(createFetch(agent)(request)).rejects.toThrow('fetch failed')
    expect(server.requests).toHaveLength(1)
  })

  it('sends the body of a Request beside an init that has none', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const request = new globalThis.Request(server.url(), { method: 'PUT', body: text })
    const response = await createFetch(agent)(request, { body: null, headers: { 'x-given': '1' } })
    expect(await response.json()).toMatchObject({ body: text, headers: { 'x-given': '1' } })
  })

  it('takes the Request of any other fetch', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    class Request {
      readonly [Symbol.toStringTag] = 'Request'
      readonly url = server.url('/other')
      readonly method = 'PUT'
      readonly headers = new Map([['x-own', 'yes']])
      readonly body = new Blob([text]).stream()
    }
    const response = await createFetch(agent)(new Request() as never)
    expect(await response.json()).toMatchObject({ path: '/other', body: text, headers: { 'x-own': 'yes' } })
  })

  it('heeds the signal of a Request', async () => {
    const { server, agent } = await serve({ protocol, respond: { hang: 'head' } })
    const controller = new AbortController()
    const arrived = server.nextRequest()
    const call = createFetch(agent)(new globalThis.Request(server.url(), { signal: controller.signal }))
    await arrived
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(call).rejects.toBe(reason)
  })

  it('sends Headers, also those that repeat', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const headers = new globalThis.Headers({ 'x-own': 'yes' })
    headers.append('x-own', 'again')
    const response = await createFetch(agent)(server.url(), { headers })
    expect(await response.json()).toMatchObject({ headers: { 'x-own': 'yes, again' } })
  })
})
