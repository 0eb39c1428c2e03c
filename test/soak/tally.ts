/** Counts by group and name. */
export class Tally {
  readonly #groups = new Map<string, Map<string, number>>()

  add(group: string, name: string, count = 1): void {
    const names = this.#groups.get(group) ?? new Map<string, number>()
    this.#groups.set(group, names.set(name, (names.get(name) ?? 0) + count))
  }

  get(group: string, name: string): number {
    return this.#groups.get(group)?.get(name) ?? 0
  }

  /** The names of a group with their counts, in the order of the names. */
  entries(group: string): [name: string, count: number][] {
    return [...(this.#groups.get(group) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
  }
}
