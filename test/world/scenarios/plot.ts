import { init } from 'echarts'
import type { Played, Scenario } from './scenario.ts'

const size = { width: 760, height: 300 } as const
// Okabe and Ito's colours, which most people can tell apart.
const colours = { bare: '#000000', others: '#cc79a7', ready: '#d55e00', limited: '#0072b2', best: '#009e73' } as const
const plain = (name: string) => name.replaceAll('`', '')

/** Goodput over time with each chain, as an SVG; the time of the fault is grey. */
export function plot({ title, from, to, until }: Scenario, played: readonly Played[]): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size })
  const { bare, others, ...usual } = colours
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    // In each plot a chain has the same colour.
    color: [bare, ...played.slice(4).map(() => others), ...Object.values(usual)],
    title: { text: `${title}: good answers a second`, left: 'center', textStyle: { fontSize: 14 } },
    // Without a canvas, widths of text are guesses.
    legend: { top: 30, itemGap: 24, itemHeight: 2, textStyle: { fontSize: 11 } },
    grid: { left: 50, right: 20, top: 66, bottom: 40 },
    xAxis: { type: 'value', min: 0, max: until / 1000, name: 'seconds', nameLocation: 'middle', nameGap: 24 },
    yAxis: { type: 'value', min: 0 },
    series: played.map(({ variant, seconds }, at) => ({
      type: 'line',
      name: plain(variant),
      showSymbol: false,
      silent: true,
      emphasis: { disabled: true },
      lineStyle: { width: 1.5 },
      data: seconds.map((goodput, second) => [second + 0.5, goodput]),
      ...(at === 0 && {
        markArea: {
          silent: true,
          itemStyle: { color: '#e8e8e8' },
          data: [[{ xAxis: from / 1000 }, { xAxis: to / 1000 }]],
        },
      }),
    })),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${asImage(svg, title).trim()}\n`
}

// Without what is only for a page that holds it, and without names that go by how many charts the process has made.
function asImage(svg: string, title: string): string {
  const names = new Map<string, string>()
  return svg
    .replace('>', `>\n<title>${title}</title>`)
    .replaceAll(/<style[\s\S]*?<\/style>\n?/g, '')
    .replaceAll(/ (?:class|pointer-events)="[^"]*"/g, '')
    .replaceAll(/zr\d+-c\d+/g, (name) => {
      const known = names.get(name) ?? `clip-${names.size}`
      names.set(name, known)
      return known
    })
}
