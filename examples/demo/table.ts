/** A column: its title, and whether it stands at the left (text) or at the right (numbers). */
export interface Column {
  readonly title: string
  readonly align: 'left' | 'right'
  /** How many characters it takes at least, so that it does not move while its numbers grow. */
  readonly width?: number
}

/** Colours a cell that has its padding already; `row` counts from 0, the titles are -1. */
export type CellStyle = (padded: string, row: number, column: number) => string

/** Lines of padded columns, `gap` spaces apart, the titles first. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { gap = 2, style = (padded) => padded }: { readonly gap?: number; readonly style?: CellStyle } = {},
): string[] {
  const widths = columns.map(({ title, width = 0 }, at) =>
    Math.max(width, title.length, ...rows.map((row) => row[at]?.length ?? 0)),
  )
  const padded = (cell: string, at: number) =>
    columns[at]!.align === 'left' ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)
  return [columns.map(({ title }) => title), ...rows].map((cells, row) =>
    columns
      .map((_, at) => style(padded(cells[at] ?? '', at), row - 1, at))
      .join(' '.repeat(gap))
      .trimEnd(),
  )
}

/** A whole number with a comma before each three digits. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Milliseconds, to a whole one. */
export function milliseconds(value: number | undefined): string {
  return value === undefined ? '-' : `${count(value)} ms`
}

/** Seconds, from milliseconds. */
export function seconds(value: number): string {
  return `${(value / 1_000).toFixed(1)} s`
}
