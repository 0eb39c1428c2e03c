// The ways in which layers come to stand over a dispatcher, and one row of the table: all scenarios over one of them.
import { compose, type Layer } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { ChainDispatcher } from '../../src/dispatchers/compose.ts'
import { Books } from './books.ts'
import type { Ground } from './ground.ts'
import type { LayerKind } from './layers.ts'
import type { Noise } from './noise.ts'
import { mistakesOf, type Played, play } from './play.ts'
import type { Scenario } from './scenarios.ts'

/** A foreign layer that does nothing: what stands on its two sides cannot be folded into one. */
export function nothing(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  return (opts, handler) => dispatch(opts, handler)
}

/** Puts layers, outermost first, over a dispatcher. */
export type Assembly = (ground: Dispatcher, layers: readonly Layer[]) => Dispatcher

export const assemblies = {
  composed: (ground, layers) => compose(ground, layers),
  /** As `compose` does, but without its check. */
  chained: (ground, layers) => new ChainDispatcher(ground, layers),
  /** undici's own way, which folds nothing. */
  'in agent.compose': (ground, layers) => ground.compose([...layers].reverse()),
  /** A chain in which nothing can be folded. */
  separated: (ground, layers) =>
    new ChainDispatcher(
      ground,
      layers.flatMap((layer, at) => (at === 0 ? [layer] : [nothing as Layer, layer])),
    ),
} satisfies Record<string, Assembly>

/** One row: what happened, and what went wrong. */
export interface Row {
  readonly played: readonly Played[]
  readonly mistakes: readonly string[]
}

/** Plays all scenarios over the layers, and closes what they stand in. */
export async function playRow(
  ground: Ground,
  noise: Noise,
  kinds: readonly LayerKind[],
  assemble: Assembly,
  chosen?: readonly Scenario[],
): Promise<Row> {
  const books = new Books(ground.server.origin)
  const dispatcher = assemble(
    ground.transport,
    kinds.flatMap((kind) => kind.make(books)),
  )
  const played = await play(dispatcher, ground, chosen)
  const mistakes = mistakesOf(played, ground, books)
  // A chain that still holds a call does not close; after what went wrong already, that tells nothing new.
  if (mistakes.length === 0) await dispatcher.close()
  return { played, mistakes: [...mistakes, ...noise.take()] }
}

/** Where two rows tell different stories of one scenario. */
export function differences(one: Row, other: Row): string[] {
  return one.played.flatMap(({ scenario, story }, at) => {
    const elsewhere = other.played[at]?.story
    return story === elsewhere ? [] : [`${scenario.name}: ${story} against ${elsewhere}`]
  })
}
