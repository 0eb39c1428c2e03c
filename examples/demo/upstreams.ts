import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type Certificate, devCertificate } from 'roundtripper/testing'
import type { Behaviour, LaneName, Service } from './phases.ts'
import type { ByServer, FromServers, ServerCounts, ToServers } from './servers.ts'

export type { ByServer, ServerCounts }

/** The services, as their callers see them. */
export class Upstreams {
  readonly certificate: Certificate
  readonly #child: ChildProcess
  #ports!: ByServer<number>
  // One question at a time: each waits for the answer to the one before.
  #answered: Promise<unknown> = Promise.resolve()

  private constructor(certificate: Certificate, child: ChildProcess) {
    this.certificate = certificate
    this.#child = child
  }

  /** Starts the process of the services, in which both lanes meet the same failures for the same `seed`. */
  static async start(seed: number): Promise<Upstreams> {
    const certificate = await devCertificate()
    const upstreams = new Upstreams(certificate, fork(new URL('./servers.ts', import.meta.url)))
    const answer = await upstreams.#ask({ type: 'start', certificate, seed })
    if (answer.type === 'started') upstreams.#ports = answer.ports
    return upstreams
  }

  origin(lane: LaneName, service: Service): string {
    return `https://127.0.0.1:${this.#ports[lane][service]}`
  }

  /** Makes `orders` behave so; resolves with what all servers had counted by then. */
  async behave(behaviour: Behaviour): Promise<ByServer<ServerCounts>> {
    return countsOf(await this.#ask({ type: 'behave', behaviour }))
  }

  async count(): Promise<ByServer<ServerCounts>> {
    return countsOf(await this.#ask({ type: 'count' }))
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }

  #ask(message: ToServers): Promise<FromServers> {
    const answer = this.#answered.then(async () => {
      const ended = new AbortController()
      try {
        this.#child.send(message)
        const first = await Promise.race([
          once(this.#child, 'message', ended),
          once(this.#child, 'exit', ended).then(([code]) => {
            throw new Error(`the process of the services ended with ${code}`)
          }),
        ])
        return first[0] as FromServers
      } finally {
        ended.abort()
      }
    })
    this.#answered = answer.catch(() => {})
    return answer
  }
}

function countsOf(answer: FromServers): ByServer<ServerCounts> {
  if (answer.type !== 'counted') throw new Error(`expected counts of the services, got ${answer.type}`)
  return answer.counts
}
