// One run on `createAgent()` alone, with no layer above it: reads a Task, writes a Report.
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { createAgent, protocolOf } from 'roundtripper'
import { request } from 'undici'
import type { Failure, Report, Task } from './task.ts'

const task = JSON.parse(await text(process.stdin)) as Task
const { origin, ca, path, answer, method, calls, callers, within } = task
const agent = createAgent({ connect: { ca } })

let issued = 0
let ok = 0
let slowest = 0
let protocol = ''
const failures: Failure[] = []
const open = new Set<string>()

const sent = new Map<string, Failure['sent']>()
if (task.notesStreams === true) {
  // The streams of a client have odd numbers, in their order.
  const streams = new WeakMap<Socket, number>()
  subscribe('undici:client:sendHeaders', (message) => {
    const { request, socket } = message as { request: { path: string }; socket: Socket }
    const stream = (streams.get(socket) ?? -1) + 2
    streams.set(socket, stream)
    sent.set(request.path.slice(path.length), { port: socket.localPort as number, stream })
  })
}

async function call(id: string): Promise<void> {
  const started = performance.now()
  open.add(id)
  try {
    const body = method === 'POST' ? id : null
    const response = await request(`${origin}${path}${id}`, { dispatcher: agent, method, body })
    const got = await response.body.text()
    const { statusCode } = response
    if (statusCode !== 200 || got !== (answer || id)) {
      throw new Error(`status ${statusCode}, body ${JSON.stringify(got.slice(0, 40))}`)
    }
    protocol = `HTTP/${protocolOf(response)}`
    ok++
  } catch (error) {
    const { code = '', message } = error as Error & { code?: string }
    failures.push({ id, code, message, sent: sent.get(id) })
  }
  open.delete(id)
  slowest = Math.max(slowest, Math.round(performance.now() - started))
}

async function caller(): Promise<void> {
  while (issued < calls) await call(`call-${++issued}`)
}

function tell(): void {
  const took = Math.round(performance.now() - started)
  const report: Report = { ok, failures, unsettled: [...open], slowest, took, protocol }
  process.stdout.write(JSON.stringify(report), () => process.exit())
}

const started = performance.now()
setTimeout(tell, within)
await Promise.all(Array.from({ length: callers }, caller))
tell()
