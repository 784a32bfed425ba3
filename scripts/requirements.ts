/**
 * docs/requirements.md: the tests of each requirement, scenario and fault, and whether it has any. The ids and their words
 * are written there by hand; this fills the last two columns from the names of tests.
 *
 *     node scripts/requirements.ts            writes them
 *     node scripts/requirements.ts --check    fails where they are not up to date, or an id is cited that is not defined
 */
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")

/** The document, from the top of the project. */
export const DOCUMENT = "docs/requirements.md"

/** Where ids may be cited. */
const PLACES = [
  "src",
  "test",
  "docs",
  "examples",
  "scripts",
  "CONTRIBUTING.md",
  "README.md",
  "SECURITY.md",
  "CHANGELOG.md"
]

/** What cites ids only to show how that is done. */
const EXAMPLES = new Set(["scripts/requirements.ts", "test/requirements.test.ts"])

const filesBelow = (place: string): ReadonlyArray<string> => {
  const full = path.join(root, place)
  if (!fs.existsSync(full)) return []
  if (fs.statSync(full).isFile()) return [place]
  return fs
    .readdirSync(full, { withFileTypes: true })
    .filter(({ name }) => name !== "node_modules" && name !== "target" && name !== "dist")
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const file = `${place}/${entry.name}`
      if (entry.isDirectory()) return filesBelow(file)
      return /\.(ts|md)$/.test(file) && !EXAMPLES.has(file) ? [file] : []
    })
}

const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

/** NEG-2, SCN-14: three letters and a number; names of ciphers and codes look alike. */
const REQUIREMENT = /\b(?!UTF-|SHA-|FNV-|RSA-|AES-)[A-Z]{3}-\d{1,2}\b/g

/** B3, or "A3, A6": at the beginning of a text or comment and before a colon or comma, or alone between brackets. */
const FAULTS = /(?:["`]|\/\/ |\* )([A-G]\d{1,2}(?:, [A-G]\d{1,2})*)(?=[:,] )|\(([A-G]\d{1,2}(?:, [A-G]\d{1,2})*)\)/g

const idsIn = (text: string): ReadonlyArray<string> => [
  ...[...text.matchAll(REQUIREMENT)].map(([id]) => id),
  ...[...text.matchAll(FAULTS)].flatMap((match) => (match[1] ?? match[2])!.split(", "))
]

/** One place where an id is cited. */
export interface Citation {
  readonly id: string
  /** File and line, from the top of the project. */
  readonly at: string
}

/** Every id that is cited anywhere. */
export const citations = (): ReadonlyArray<Citation> =>
  PLACES.flatMap(filesBelow).flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, index) => idsIn(line).map((id) => ({ id, at: `${file}:${index + 1}` })))
  )

/** The first cell of a row, if it is an id. */
const ROW = /^\| ([A-Z]{3}-\d+|[A-G]\d+) \|/

/** The ids that a document defines, in its order; one that is defined twice comes twice. */
export const definitions = (document: string): ReadonlyArray<string> =>
  document.split("\n").flatMap((line) => ROW.exec(line)?.[1] ?? [])

/** Files of tests by the ids that their names cite. Names stand on one line; a text in quotes that cites an id is one. */
export const testFiles = (): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, Array<string>>()
  for (const file of filesBelow("test").filter((name) => name.endsWith(".ts"))) {
    for (const [name] of read(file).matchAll(/"[^"\n]*"|`[^`\n]*`/g)) {
      for (const id of idsIn(name)) {
        const files = found.get(id) ?? []
        if (!files.includes(file)) files.push(file)
        found.set(id, files)
      }
    }
  }
  return found
}

const link = (file: string): string => `[${file.replace(/^test\/|(?:\.test)?\.ts$/g, "")}](../${file})`

/** What is known without a test stays; "tested" goes with the tests. */
const state = (written: string, tested: boolean): string => {
  const stale = written === "" || written.startsWith("tested")
  if (tested) return written.startsWith("tested") ? written : "tested"
  return stale ? "not yet" : written
}

/** The document with its columns of tests and states, and the count of both. */
export const render = (document: string, tests: ReadonlyMap<string, ReadonlyArray<string>>): string => {
  const counts = new Map<string, { all: number; tested: number }>()
  const lines = document.split("\n").map((line) => {
    const id = ROW.exec(line)?.[1]
    if (id === undefined) return line
    const cells = line.split("|").map((cell) => cell.trim())
    const files = tests.get(id) ?? []
    const kind = id.startsWith("SCN") ? "scenarios" : id.includes("-") ? "requirements" : "faults"
    const count = counts.get(kind) ?? { all: 0, tested: 0 }
    count.all++
    if (files.length > 0) count.tested++
    counts.set(kind, count)
    const own = cells.slice(1, -3)
    return `| ${[...own, files.map(link).join(", "), state(cells.at(-2)!, files.length > 0)].join(" | ")} |`
  })
  const sum = [...counts].map(([kind, { all, tested }]) => `${tested} of ${all} ${kind}`).join(", ")
  return lines.join("\n").replace(/(<!-- count -->\n)(?:\n?Tests cite .*\n)?/, `$1\nTests cite ${sum}.\n`)
}

/** What is wrong with a document: ids that are defined twice, or cited and not defined, and cells that are not up to date. */
export const mistakes = (document: string): ReadonlyArray<string> => {
  const defined = new Set<string>()
  const wrong: Array<string> = []
  for (const id of definitions(document)) {
    if (defined.has(id)) wrong.push(`${DOCUMENT}: ${id} is defined twice`)
    defined.add(id)
  }
  for (const { at, id } of citations()) if (!defined.has(id)) wrong.push(`${at}: ${id} is not defined in ${DOCUMENT}`)
  return wrong
}

if (import.meta.main) {
  const document = read(DOCUMENT)
  const rendered = render(document, testFiles())
  const wrong = [...mistakes(document)]
  if (process.argv.includes("--check")) {
    if (rendered !== document) wrong.push(`${DOCUMENT} is not up to date: npm run docs:requirements`)
  } else if (rendered !== document) fs.writeFileSync(path.join(root, DOCUMENT), rendered)
  for (const line of wrong) process.stderr.write(`${line}\n`)
  process.exitCode = wrong.length === 0 ? 0 : 1
}
