/** wsp.svg: how the aggregation benefit is distributed, a panel for each class and a line for each scheduler. */

export interface Line {
  readonly name: string
  readonly benefits: ReadonlyArray<number>
}

export interface Panel {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
}

const WIDTH = 340
const HEIGHT = 220
const LEFT = 40
const TOP = 34
const BOTTOM = 30
const RIGHT = 14
const HEAD = 62
const LEAST = -1
const MOST = 1.2

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const x = (benefit: number): number =>
  LEFT + ((Math.min(MOST, Math.max(LEAST, benefit)) - LEAST) / (MOST - LEAST)) * (WIDTH - LEFT - RIGHT)
const y = (share: number): number => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

/** Steps: at each value, the share of values that are not higher. */
const steps = (benefits: ReadonlyArray<number>): string => {
  const sorted = benefits.toSorted((a, b) => a - b)
  let path = `M${x(LEAST).toFixed(1)} ${y(0).toFixed(1)}`
  for (const [index, benefit] of sorted.entries()) {
    path += `H${x(benefit).toFixed(1)}V${y((index + 1) / sorted.length).toFixed(1)}`
  }
  return `${path}H${x(MOST).toFixed(1)}`
}

const grid = (): string => {
  const upright = [-1, -0.5, 0, 0.5, 1].map(
    (benefit) =>
      `<path class="${benefit === 0 ? "zero" : "grid"}" d="M${x(benefit).toFixed(1)} ${y(0)}V${y(1)}"/>` +
      `<text class="note" x="${x(benefit).toFixed(1)}" y="${HEIGHT - BOTTOM + 15}" text-anchor="middle">${benefit}</text>`
  )
  const level = [0, 0.5, 1].map(
    (share) =>
      `<path class="grid" d="M${x(LEAST)} ${y(share)}H${x(MOST)}"/>` +
      `<text class="note" x="${LEFT - 6}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`
  )
  return [...upright, ...level].join("\n")
}

const panelOf = (
  panel: Panel,
  index: number
): string => `<g transform="translate(${(index % 2) * WIDTH} ${HEAD + Math.floor(index / 2) * HEIGHT})">
<text class="panel" x="${LEFT}" y="22">${escape(panel.title)}</text>
${grid()}
${panel.lines.map((line, at) => `<path class="line c${at}" d="${steps(line.benefits)}"><title>${escape(line.name)}</title></path>`).join("\n")}
</g>`

export const picture = (title: string, note: string, panels: ReadonlyArray<Panel>): string => {
  const rows = Math.ceil(panels.length / 2)
  const height = HEAD + rows * HEIGHT + 10
  const legend = (panels[0]?.lines ?? []).map(
    ({ name }, at) =>
      `<path class="line c${at}" d="M${16 + at * 110} 52h18"/><text class="note" x="${40 + at * 110}" y="56">${escape(name)}</text>`
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * WIDTH}" height="${height}" viewBox="0 0 ${2 * WIDTH} ${height}" role="img" aria-label="${escape(title)}">
<style>
.ground { fill: #ffffff }
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.panel { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1; fill: none }
.zero { stroke: #59636e; stroke-width: 1; fill: none }
.line { stroke-width: 2; fill: none; stroke-linejoin: round }
.c0 { stroke: #2f6fdb }
.c1 { stroke: #d1242f }
.c2 { stroke: #1a7f37 }
.c3 { stroke: #9a6700 }
.c4 { stroke: #8250df }
.c5 { stroke: #59636e }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 }
text { fill: #e6edf3 }
.note { fill: #9198a1 }
.grid { stroke: #3d444d }
.c0 { stroke: #4f8ff7 }
.c1 { stroke: #f85149 }
.c2 { stroke: #3fb950 }
.c3 { stroke: #d29922 }
.c4 { stroke: #ab7df8 }
.c5 { stroke: #9198a1 }
}
</style>
<rect class="ground" width="${2 * WIDTH}" height="${height}" rx="6"/>
<text class="title" x="16" y="22">${escape(title)}</text>
<text class="note" x="16" y="38">${escape(note)}</text>
${legend.join("\n")}
${panels.map(panelOf).join("\n")}
</svg>
`
}
