/**
 * The rules of the house that no compiler checks: the direction of imports, no cycles, nothing that breaks determinism, and
 * a barrel that exports every public module.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../src")

const filesBelow = (folder: string): Array<string> =>
  fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(full) : entry.name.endsWith(".ts") ? [full] : []
  })

interface Import {
  readonly from: string
  readonly to: string
}

/** Type imports count like others: a circle of types is one too. */
const statement = /^(?:import|export)\s+(?:[^"';]*?\s+from\s+)?"(\.[^"]+)"/gm

const files = filesBelow(root)
const source = new Map(files.map((file) => [file, fs.readFileSync(file, "utf8")]))
const imports: ReadonlyArray<Import> = files.flatMap((from) =>
  [...source.get(from)!.matchAll(statement)].map((match) => ({
    from: path.relative(root, from),
    to: path.relative(root, path.resolve(path.dirname(from), match[1]!))
  }))
)

/** Inside `internal` a folder may import those listed before it. Files right in `internal` are everybody's. */
const order = [
  "wire",
  "tls",
  "crypto",
  "congestion",
  "recovery",
  "streams",
  "paths",
  "connection",
  "endpoint",
  "runtime"
]

const room = (file: string): number => {
  const parts = file.split("/")
  if (parts[0] !== "internal") return -2
  return parts.length === 2 ? -1 : order.indexOf(parts[1]!)
}

describe("architecture", () => {
  it("finds the files and imports it speaks about", () => {
    assert.isAbove(files.length, 80)
    assert.isAbove(imports.length, 300)
  })

  it("internal folders are all listed", () => {
    for (const entry of fs.readdirSync(path.join(root, "internal"), { withFileTypes: true })) {
      if (entry.isDirectory()) assert.include(order, entry.name)
    }
  })

  it("imports inside internal point one way", () => {
    const wrong = imports.filter(({ from, to }) => {
      const a = room(from)
      const b = room(to)
      return a >= -1 && b >= -1 && b > a
    })
    assert.deepStrictEqual(
      wrong.map(({ from, to }) => `${from} -> ${to}`),
      []
    )
  })

  it("the machine imports nothing outside internal", () => {
    const runtime = order.indexOf("runtime")
    const wrong = imports.filter(({ from, to }) => room(from) >= -1 && room(from) !== runtime && room(to) === -2)
    assert.deepStrictEqual(
      wrong.map(({ from, to }) => `${from} -> ${to}`),
      []
    )
  })

  it("imports never go in a circle", () => {
    const edges = new Map<string, Array<string>>()
    for (const { from, to } of imports) edges.set(from, [...(edges.get(from) ?? []), to])
    const done = new Set<string>()
    const visit = (file: string, trail: ReadonlyArray<string>): void => {
      if (trail.includes(file)) assert.fail(`circle: ${[...trail.slice(trail.indexOf(file)), file].join(" -> ")}`)
      if (done.has(file)) return
      for (const next of edges.get(file) ?? []) visit(next, [...trail, file])
      done.add(file)
    }
    for (const file of edges.keys()) visit(file, [])
  })

  it("no wall clock, no timers, no chance, no Effect inside the machine", () => {
    const forbidden =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\(|\bperformance\.now\b|\bhrtime\b/
    for (const [file, text] of source) assert.notMatch(text, forbidden, path.relative(root, file))
    for (const [file, text] of source) {
      const relative = path.relative(root, file)
      if (room(relative) < -1 || relative.startsWith("internal/runtime/")) continue
      // `isIP` only looks at a string.
      const rest = text.replace('import { isIP } from "node:net"', "")
      assert.notMatch(rest, /from "effect|from "@effect|from "node:(?:dgram|net|timers|dns)/, relative)
    }
  })

  it("the barrel exports every public module", () => {
    const barrel = source.get(path.join(root, "index.ts"))!
    for (const file of fs.readdirSync(root)) {
      if (!file.endsWith(".ts") || file === "index.ts") continue
      assert.include(barrel, `"./${file}"`)
    }
  })

  it("D13: who imports the library loads neither the program's packages nor a cipher that he does not use", () => {
    const packages = /^(?:import|export)\s+(?!type\b)(?:[^"';]*?\s+from\s+)?"([^".][^"]*)"/gm
    const seen = new Set<string>()
    const loaded = new Set<string>()
    const visit = (file: string): void => {
      if (seen.has(file)) return
      seen.add(file)
      // Examples in docstrings import the library, as users do.
      const text = source.get(path.join(root, file))!.replace(/\/\*\*[^]*?\*\//g, "")
      for (const match of text.matchAll(packages))
        loaded.add(
          match[1]!
            .split("/")
            .slice(0, match[1]!.startsWith("@") ? 2 : 1)
            .join("/")
        )
      for (const each of imports) if (each.from === file) visit(each.to)
    }
    visit("index.ts")
    visit("testing/index.ts")
    assert.isAbove(seen.size, 100)
    const external = [...loaded].filter((name) => !name.startsWith("node:"))
    assert.deepStrictEqual(external.toSorted(), ["@peculiar/asn1-schema", "@peculiar/asn1-x509", "effect"])
  })
})
