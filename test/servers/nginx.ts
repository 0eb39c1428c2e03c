// nginx over TLS, which says GOAWAY every hundred requests, before an upstream that counts.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { certificateFiles, ended, endWithUs, freePort, ownFile, untilListening } from './programs.ts'

/** Answers each request with its id, the path, and counts how often it came. */
class Upstream {
  readonly seen = new Map<string, number>()
  onRequest: (different: number) => void = () => {}
  readonly server: Server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const id = request.url!.slice(1)
    this.seen.set(id, (this.seen.get(id) ?? 0) + 1)
    this.onRequest(this.seen.size)
    request.resume().on('end', () => response.end(id))
  })
}

export interface Nginx {
  readonly port: number
  readonly ca: string
  /** How often each id came, in the run under way. */
  readonly seen: ReadonlyMap<string, number>
  /** Begins a run: forgets what came, and reloads so often at even distances. */
  begin(calls: number, reloads: number): void
  /** Resolves when the reloads of the run are done, with their number. */
  settled(): Promise<number>
  stop(): Promise<void>
}

function configuration(port: number, upstream: number, cert: string, key: string): string {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => {
    mkdirSync(ownFile(name), { recursive: true })
    return `${name}_temp_path ${ownFile(name)};`
  })
  return `worker_processes 1; pid ${ownFile('nginx.pid')}; error_log ${ownFile('nginx.log')}; daemon off;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100; ${folders.join(' ')}
  upstream up { server 127.0.0.1:${upstream}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} ssl http2; ssl_certificate ${cert}; ssl_certificate_key ${key};
    location / {
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
    }
  }
}
`
}

export async function startNginx(program: string): Promise<Nginx> {
  const { key, cert, ca } = await certificateFiles()
  const upstream = new Upstream()
  await new Promise<void>((resolve) => upstream.server.listen(0, '127.0.0.1', resolve))
  const port = await freePort()
  const file = ownFile('nginx.conf')
  writeFileSync(file, configuration(port, (upstream.server.address() as AddressInfo).port, cert, key))
  const args = ['-c', file, '-e', ownFile('nginx.log')]
  const nginx = endWithUs(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] }))
  const end = ended(nginx, 'nginx')
  await Promise.race([untilListening(port, nginx), end])

  let reloads: Promise<void>[] = []
  let wanted = 0
  const reload = () => ended(spawn(program, [...args, '-s', 'reload'], { stdio: 'ignore' }), 'nginx -s reload')
  return {
    port,
    ca,
    seen: upstream.seen,
    begin(calls, count) {
      upstream.seen.clear()
      reloads = []
      wanted = count
      upstream.onRequest = (different) => {
        if (reloads.length < wanted && different >= (calls * (reloads.length + 1)) / (wanted + 1)) {
          reloads.push(reload())
        }
      }
    },
    async settled() {
      await Promise.all(reloads)
      return reloads.length
    },
    async stop() {
      nginx.kill('SIGTERM')
      await end
      upstream.server.close()
      upstream.server.closeAllConnections()
    },
  }
}
