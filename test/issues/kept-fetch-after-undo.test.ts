// Who had taken fetch, Request and FormData while ours was installed and went on calling after the undo sent "[object
// FormData]", or failed with "Failed to parse URL from [object Request]": Node's own fetch knows nothing of undici's classes.
import { installFetch } from 'roundtripper'
import { expect, it } from 'vitest'
import { keepsGlobals, named } from '../fetch/globals.ts'
import { serve } from '../fetch/servers.ts'

keepsGlobals()

it('a fetch that somebody kept takes the Request, FormData and Headers that were kept with it', async () => {
  const { server } = await serve({ protocol: 'h1c', respond: { echo: true } })
  const uninstall = installFetch(named('ours'))
  const kept = { fetch, Request, FormData, Headers }
  uninstall()
  const headers = new kept.Headers({ 'x-own': 'yes' })
  const form = new kept.FormData()
  form.append('a', 'b')
  form.append('file', new File(['content'], 'name.txt', { type: 'text/x' }))

  const made = new kept.Request(server.url('/made'), { method: 'PUT', body: 'text', headers })
  const first = await kept.fetch(made)
  expect(first).toBeInstanceOf(Response)
  expect(await first.json()).toMatchObject({
    method: 'PUT',
    path: '/made',
    body: 'text',
    headers: { 'x-own': 'yes' },
  })
  expect(made.bodyUsed).toBe(true)

  const again = new kept.Request(server.url('/again'), { method: 'PUT', headers })
  const second = await kept.fetch(again, { method: 'POST', body: 'given' })
  expect(await second.json()).toMatchObject({ method: 'POST', body: 'given', headers: { 'x-own': 'yes' } })

  const third = await kept.fetch(server.url('/form'), { method: 'PUT', body: form, headers })
  const echo = (await third.json()) as { body: string }
  expect(echo).toMatchObject({ method: 'PUT', headers: { 'x-own': 'yes' } })
  expect(echo.body).toContain('name="a"\r\n\r\nb')
  expect(echo.body).toContain('filename="name.txt"\r\nContent-Type: text/x\r\n\r\ncontent')

  const inRequest = new kept.Request(server.url(), { method: 'PUT', body: form })
  expect(((await (await kept.fetch(inRequest)).json()) as { body: string }).body).toContain('name="a"\r\n\r\nb')
  const redirect = new kept.Request(server.url(), {
    redirect: 'error',
    signal: AbortSignal.abort(new Error('enough')),
  })
  await expect(kept.fetch(redirect)).rejects.toThrow('enough')
})
