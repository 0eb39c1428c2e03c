import { onTestFinished } from 'vitest'
import { FrameServer } from './frames.ts'

export { type FrameConnection, FrameServer } from './frames.ts'

/** A server of single frames that is closed with the test. */
export async function startFrameServer(): Promise<FrameServer> {
  const server = await new FrameServer().listen()
  onTestFinished(() => server.close())
  return server
}
