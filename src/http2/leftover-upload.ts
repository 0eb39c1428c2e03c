import type { ClientHttp2Stream } from 'node:http2'
import { errors } from 'undici'
import type { BodyPump } from './body-pump.ts'
import type { PooledSession } from './session.ts'
import { type StreamOwner, setOwner } from './stream-taps.ts'

/** An upload that goes on after its answer has ended: nobody is told of it, and it holds its place in the session. */
export class LeftoverUpload implements StreamOwner {
  private readonly session: PooledSession
  private readonly pump: BodyPump | null

  constructor(stream: ClientHttp2Stream, session: PooledSession, pump: BodyPump | null) {
    this.session = session
    this.pump = pump
    setOwner(stream, this)
  }

  onStreamClose(): void {
    this.pump?.stop(new errors.InformationalError('the server needs no more of the request'))
    this.session.release()
  }

  onStreamChunk(): boolean {
    return true
  }

  onStreamHead(): void {}
  onStreamInterim(): void {}
  onStreamEof(): void {}
  onStreamTrailers(): void {}
  onStreamEnd(): void {}
  onStreamFrameError(): void {}
}
