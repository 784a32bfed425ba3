/**
 * results.svg: bars of the goodput of one stream.
 */
import { median, valuesOf } from "./results.ts"
import type { Measured } from "./results.ts"
import { subjects } from "./subjects.ts"

const WIDTH = 720
const LEFT = 250
const RIGHT = 70
const ROW = 26
const TOP = 56

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const isOurs = (name: string): boolean => name === "native" || name === "warm" || name === "portable"

export const picture = (download: Measured, machine: string): string => {
  const bars = Object.keys(download.rounds)
    .filter((name) => !name.startsWith("ceiling"))
    .flatMap((name) => {
      const value = median(valuesOf(download, name))
      const ceiling = median(valuesOf(download, `ceiling-${name}`))
      const title = (subjects.get(name)?.title ?? name).replaceAll("*", "").replace(/ \(@currentspace.*\)/, "")
      return value === undefined ? [] : [{ name, title, value, ceiling }]
    })
    .toSorted((a, b) => b.value - a.value)
  const most = Math.max(...bars.map(({ ceiling, value }) => Math.max(value, ceiling ?? 0)), 0.1)
  const x = (value: number): number => LEFT + (value / most) * (WIDTH - LEFT - RIGHT)
  const height = TOP + bars.length * ROW + 30
  const rows = bars.map(({ ceiling, name, title, value }, index) => {
    const y = TOP + index * ROW
    const mark =
      ceiling === undefined
        ? ""
        : `<path class="ceiling" d="M${x(ceiling).toFixed(1)} ${y - 1}v20"><title>ceiling: ${ceiling.toFixed(2)} Gbit/s</title></path>`
    return [
      `<text class="${isOurs(name) ? "ours" : "label"}" x="${LEFT - 10}" y="${y + 13}" text-anchor="end">${escape(title)}</text>`,
      `<rect class="${isOurs(name) ? "mine" : "bar"}" x="${LEFT}" y="${y}" width="${(x(value) - LEFT).toFixed(1)}" height="18" rx="2"/>`,
      `<text class="value" x="${(x(value) + 6).toFixed(1)}" y="${y + 13}">${value.toFixed(2)}</text>${mark}`
    ].join("\n")
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Goodput of one stream by stack">
<style>
.ground { fill: #ffffff }
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.ours { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.bar { fill: #b6bec8 }
.mine { fill: #2f6fdb }
.ceiling { stroke: #d1242f; stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 }
text { fill: #e6edf3 }
.note { fill: #9198a1 }
.bar { fill: #59636e }
.mine { fill: #4f8ff7 }
}
</style>
<rect class="ground" width="${WIDTH}" height="${height}" rx="6"/>
<text class="title" x="16" y="24">One stream, download, loopback: Gbit/s</text>
<text class="note" x="16" y="42">Medians of interleaved rounds, one core a process. Red: what sockets and encryption alone reach in that lane.</text>
${rows.join("\n")}
<text class="note" x="16" y="${height - 10}">${escape(machine)}</text>
</svg>
`
}
