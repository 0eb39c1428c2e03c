import { ChainDispatcher } from '../dispatchers/compose.ts'

/** A chain over an agent that others use, too: what closes it closes nothing below. */
export class UpstreamChain extends ChainDispatcher {
  protected override closeGround(): Promise<void> {
    return Promise.resolve()
  }

  protected override destroyGround(): Promise<void> {
    return Promise.resolve()
  }
}
