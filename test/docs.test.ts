/**
 * The documentation: what every export says, and that every example, in the modules and in Markdown, has all its imports and
 * compiles alone.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")

/** Files of a folder, not of those in it. */
const filesIn = (folder: string, extension: string): ReadonlyArray<string> =>
  fs
    .readdirSync(path.join(root, folder))
    .filter((file) => file.endsWith(extension))
    .map((file) => path.join(folder, file))

const files = [
  ...filesIn("src", ".ts"),
  ...filesIn("src/testing", ".ts"),
  ...filesIn(".", ".md"),
  ...filesIn("docs", ".md"),
  ...filesIn("examples", ".md")
]

const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

/** Examples of a file; in modules they stand between the stars of the docstrings. */
const examplesOf = (file: string): ReadonlyArray<string> => {
  const text = read(file)
  const fences = file.endsWith(".md") ? /^```ts\n([\s\S]*?)^```$/gm : /^ \* ```ts\n([\s\S]*?)^ \* ```$/gm
  return [...text.matchAll(fences)].map((match) =>
    file.endsWith(".md") ? match[1]! : match[1]!.replace(/^ \* ?/gm, "")
  )
}

const run = (...args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve(`${stdout}${stderr}` || (error?.message ?? ""))
    )
  })

describe("documentation", () => {
  it("D13: every public export has prose, a category and the version that it came with, every number a unit", async () => {
    assert.match(await run("scripts/check-docs.ts"), /^\d+ modules, \d{3,} exports, 0 faults\n$/)
  })

  it("D13: every example in it compiles alone", async () => {
    fs.mkdirSync(path.join(root, ".cache"), { recursive: true })
    // Inside the project, where the packages are found.
    const folder = fs.mkdtempSync(path.join(root, ".cache/doc-examples-"))
    try {
      let count = 0
      for (const file of files) {
        for (const [index, example] of examplesOf(file).entries()) {
          count++
          assert.match(example, /^import /, `example ${index + 1} of ${file} has no imports`)
          fs.writeFileSync(
            path.join(folder, `${file.replaceAll("/", "-").replace(/\.\w+$/, "")}-${index + 1}.ts`),
            example
          )
        }
      }
      assert.isAbove(count, 12)
      const paths = { "effect-mpquic": ["../../src/index.ts"], "effect-mpquic/testing": ["../../src/testing/index.ts"] }
      const compilerOptions = {
        paths,
        noUnusedLocals: false,
        rewriteRelativeImportExtensions: false,
        allowImportingTsExtensions: true
      }
      const config = { extends: "../../tsconfig.json", compilerOptions, include: ["."] }
      fs.writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config))
      assert.strictEqual(await run("node_modules/typescript/bin/tsc", "-p", folder), "")
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })

  it("leads nowhere but to files that are there", () => {
    const dead: Array<string> = []
    for (const file of [...files, ...filesIn("docs/api", ".md"), ...filesIn("docs/api/testing", ".md")]) {
      if (!file.endsWith(".md")) continue
      for (const match of read(file).matchAll(/\]\((?![a-z]+:)([^)#\s]+)/g)) {
        if (!fs.existsSync(path.resolve(root, path.dirname(file), match[1]!))) dead.push(`${file}: ${match[1]}`)
      }
    }
    assert.deepStrictEqual(dead, [])
  })

  it("README: pictures and documents that it links to are in the package", () => {
    const { files: packed } = JSON.parse(read("package.json")) as { readonly files: ReadonlyArray<string> }
    const missing = [...read("README.md").matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/g)]
      .map((match) => match[1]!)
      .filter(
        (link) => !packed.some((pattern) => path.matchesGlob(link, pattern) || `${link}/`.startsWith(`${pattern}/`))
      )
      // Folders of which a part is there.
      .filter((link) => !packed.some((pattern) => pattern.startsWith(`${link}/`)))
    assert.deepStrictEqual(missing, [])
  })

  it("README: its figures of aggregation are those of bench/RESULTS.md", () => {
    const results = read("bench/RESULTS.md")
    const cells = (heading: string, kind: string): ReadonlyArray<string> => {
      const section = results.slice(results.indexOf(`\n### ${heading}`) + 1)
      const row = new RegExp(`^\\| ${kind} \\| deliveryRate \\|.*`, "m").exec(section)![0]
      return row.split("|").map((cell) => cell.trim())
    }
    const cold = (kind: string) => cells("40 scenarios a class", kind)
    const gain = (row: ReadonlyArray<string>): string => Number(row[6]).toFixed(2)
    const high = cold("high-bdp-no-loss")
    const handover = /^\| deliveryRate \| cubic \| 7000 ms \| ([\d.]+) ms \| ([\d.]+) ms/m.exec(results)!
    const text = read("README.md").replaceAll(/\s+/g, " ")
    for (const part of [
      `the median gain is ${gain(cold("low-bdp-no-loss"))} where bandwidth-delay products are low`,
      `and ${gain(cold("low-bdp-loss"))} there with random loss`,
      `it is ${gain(high)} from the first packet on`,
      `and ${gain(cells("The same with the paths open", "high-bdp-no-loss"))} on connections whose paths are open`,
      `in ${(100 - Number.parseFloat(high[5]!)).toFixed(0)} % of those runs`,
      `takes ${Math.round(Number(handover[2]))} ms instead of ${Math.round(Number(handover[1]))}`
    ]) {
      assert.include(text, part)
    }
  })
})
