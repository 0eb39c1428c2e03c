import type { Layer } from './relay.ts'

/** A layer that can be read and changed while it runs. */
export interface ControlledLayer<Options extends object, View> extends Layer {
  /**
   * Takes over the given options, and keeps the others; one that is `undefined` goes back to its default. Holds for every
   * origin from the next decision on; calls that are under way or wait keep their places.
   *
   * @throws RangeError, TypeError for options that are out of range; then nothing has been changed.
   */
  update(options: Partial<Options>): void
  /** How things stand, by origin, for all origins called so far. */
  state(): Readonly<Record<string, View>>
}
