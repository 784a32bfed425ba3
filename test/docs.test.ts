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
})
