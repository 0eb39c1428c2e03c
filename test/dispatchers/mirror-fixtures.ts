// What the tests of mirrored calls share.
import { type MirrorLayer, type MirrorOptions, type MirrorResult, type MirrorView, mirror } from 'roundtripper'
import type { Script, TestServer } from 'roundtripper/testing'
import { eventually, serve } from './retry-servers.ts'

export interface Mirrored {
  /** The caller's. */
  readonly server: TestServer
  /** Where copies go. */
  readonly shadow: TestServer
  readonly layer: MirrorLayer
  readonly results: MirrorResult[]
  /** How it stands, when no copy is under way any more. */
  readonly settled: () => Promise<MirrorView>
}

/** A server, one for copies, and the layer that sends them there. */
export async function mirrored(
  protocol: 'h1' | 'h2',
  options: Partial<MirrorOptions> = {},
  respond: Script = { body: 'shadow' },
): Promise<Mirrored> {
  const server = await serve({ protocol, respond: { body: 'hello' } })
  const shadow = await serve({ protocol, respond })
  const results: MirrorResult[] = []
  const layer = mirror({ to: shadow.origin, onResult: (result) => results.push(result), ...options })
  const settled = async () => {
    await eventually(() => layer.state()[server.origin]?.inUse === 0)
    return layer.state()[server.origin] as MirrorView
  }
  return { server, shadow, layer, results, settled }
}
