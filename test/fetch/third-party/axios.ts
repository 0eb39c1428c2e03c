// axios with its fetch adapter. It takes Request and Response from the globals as it is loaded, fetch at each call.
import assert from 'node:assert/strict'
import axios, { AxiosError, type AxiosInstance } from 'axios'
import { gate } from '../../../src/testing/index.ts'
import { type Case, failure, only, type World } from './world.ts'

function axiosOf(world: World): AxiosInstance {
  return axios.create({ adapter: 'fetch', ...(world.isInstalled ? {} : { env: { fetch: world.fetch } }) })
}

export const axiosCases: readonly Case[] = [
  {
    name: 'axios posts JSON and reads JSON',
    async run(world) {
      const server = await world.serve({ echo: true })
      const { data, status } = await axiosOf(world).post(
        server.url('/users'),
        { name: 'Ada 🐇' },
        { params: { q: 'ö' } },
      )
      const { method, path, headers, body } = await only(server, world)
      assert.deepEqual([method, path, headers['content-type']], ['POST', '/users?q=%C3%B6', 'application/json'])
      assert.equal(body.toString(), '{"name":"Ada 🐇"}')
      assert.deepEqual([status, data.body], [200, '{"name":"Ada 🐇"}'])
    },
  },
  {
    name: 'axios sends a FormData with a file',
    async run(world) {
      const server = await world.serve({ echo: true })
      const form = new FormData()
      form.append('a', 'grüße')
      form.append('file', new File(['content'], 'name.txt', { type: 'text/x' }))
      await axiosOf(world).post(server.url(), form)
      // Its content type is wrong over the runtime's own fetch as well.
      const { body } = await only(server, world)
      assert.ok(body.includes('name="a"\r\n\r\ngrüße\r\n'))
      assert.ok(body.includes('filename="name.txt"\r\nContent-Type: text/x\r\n\r\ncontent\r\n'))
    },
  },
  {
    name: 'axios fails with what the server sent, and with a lost connection',
    async run(world) {
      const server = await world.serve([{ status: 404, body: 'no such user' }, { reset: 'before-head' }])
      const missing = await failure(axiosOf(world).get(server.url()))
      assert.ok(missing instanceof AxiosError)
      assert.deepEqual([missing.response?.status, missing.response?.data], [404, 'no such user'])
      const lost = await failure(axiosOf(world).get(server.url()))
      assert.ok(lost instanceof AxiosError)
      assert.deepEqual([lost.response, lost.code], [undefined, 'ERR_NETWORK'])
    },
  },
  {
    name: 'axios is given up by its signal',
    async run(world) {
      const server = await world.serve({ hang: 'head' })
      const controller = new AbortController()
      const arrived = server.nextRequest()
      const call = failure(axiosOf(world).get(server.url(), { signal: controller.signal }))
      const { closed } = await arrived
      controller.abort()
      assert.ok(axios.isCancel(await call))
      assert.equal((await closed).how, 'aborted')
    },
  },
  {
    name: 'axios streams up and down, and tells its progress',
    async run(world) {
      const second = gate()
      const server = await world.serve({ '/down': { body: ['first', second.promise, 'second'] }, '*': { echo: true } })
      const { data } = await axiosOf(world).get(server.url('/down'), { responseType: 'stream' })
      const reader = (data as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream()).getReader()
      assert.equal((await reader.read()).value, 'first')
      second.open()
      assert.equal((await reader.read()).value, 'second')
      assert.equal((await reader.read()).done, true)

      let loaded = 0
      const body = new Blob(['one ', 'two ', 'three']).stream()
      const onUploadProgress = (event: { loaded: number }) => {
        loaded = event.loaded
      }
      const up = await axiosOf(world).put(server.url('/up'), body, { onUploadProgress })
      assert.equal(up.data.body, 'one two three')
      assert.equal(loaded, 13)
      assert.deepEqual(
        server.requests.map(({ protocol }) => protocol),
        [world.version, world.version],
      )
    },
  },
]
