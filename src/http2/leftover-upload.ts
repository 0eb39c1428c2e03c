import type { ClientHttp2Stream } from 'node:http2'
import { errors } from 'undici'
import type { TimerEntry, TimerLane } from '../policies/clock.ts'
import type { BodyPump } from './body-pump.ts'
import type { PooledSession } from './session.ts'
import { cancelStream, type StreamOwner, setOwner } from './stream-taps.ts'

/**
 * An upload that goes on after its answer has ended: nobody is told of it, and it holds its place in the session. One that no
 * longer moves is given up, for a server may take no more of it and not say so.
 */
export class LeftoverUpload implements StreamOwner, TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly stream: ClientHttp2Stream
  private readonly session: PooledSession
  private readonly pump: BodyPump | null
  private readonly lane: TimerLane | null
  private moved = Number.NaN

  /** `lane` says how long it may stand still. */
  constructor(stream: ClientHttp2Stream, session: PooledSession, pump: BodyPump | null, lane: TimerLane | null) {
    this.stream = stream
    this.session = session
    this.pump = pump
    this.lane = lane
    setOwner(stream, this)
    lane?.add(this)
  }

  onTimer(): void {
    const moved = (this.pump?.sent ?? 0) - this.stream.bufferSize
    if (moved === this.moved) {
      cancelStream(this.stream)
      return
    }
    this.moved = moved
    this.lane?.add(this)
  }

  onStreamClose(): void {
    this.lane?.remove(this)
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
