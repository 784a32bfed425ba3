/** docs/requirements.md defines what tests, comments and documents cite, and its tables are written as they should be. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { citations, definitions, DOCUMENT, mistakes, render, testFiles } from "../scripts/requirements.ts"

const document = fs.readFileSync(path.resolve(import.meta.dirname, "..", DOCUMENT), "utf8")

/** A row as it is written by hand. */
const row = (id: string, state: string): string => `| ${id} | MUST | 2 | Some words. | | ${state} |`

describe("requirements", () => {
  it("every id that is cited is defined, once", () => {
    assert.deepStrictEqual(mistakes(document), [])
  })

  it("finds what it speaks about", () => {
    const cited = new Set(citations().map(({ id }) => id))
    const kinds = (ids: Iterable<string>) => new Set([...ids].map((id) => id.replace(/-?\d+$/, "")))
    assert.isAbove(cited.size, 150)
    assert.isAbove(definitions(document).length, 200)
    for (const kind of kinds(definitions(document))) assert.isTrue(kinds(cited).has(kind), kind)
    assert.deepStrictEqual(
      [...kinds(testFiles().keys())].filter((kind) => !kinds(cited).has(kind)),
      []
    )
  })

  it("says where an id is cited that is not defined, and which one is defined twice", () => {
    const without = document.replace(/^\| ABN-6 \|.*\n/m, "").replace(/^\| B6 \|.*\n/m, "")
    const wrong = mistakes(without)
    assert.isTrue(wrong.some((line) => /^test\/scenarios\/.*\.test\.ts:\d+: ABN-6 is not defined/.test(line)))
    assert.isTrue(wrong.some((line) => /^src\/.*\.ts:\d+: ABN-6 is not defined/.test(line)))
    assert.isTrue(wrong.some((line) => /^test\/streams\/.*: B6 is not defined/.test(line)))
    assert.deepStrictEqual(mistakes(`${document}\n${row("ABN-6", "")}\n`), [`${DOCUMENT}: ABN-6 is defined twice`])
  })

  it("tables have the tests that there are, and keep what is known where there are none", () => {
    const tests = new Map([["NEG-1", ["test/wire/A.test.ts", "test/net/b.ts"]]])
    const filled = "| [wire/A](../test/wire/A.test.ts), [net/b](../test/net/b.ts) |"
    const cases = [
      ["NEG-1", "", `${filled} tested |`],
      ["NEG-1", "not yet", `${filled} tested |`],
      ["NEG-1", "tested, but for the second half", `${filled} tested, but for the second half |`],
      ["NEG-2", "", "|  | not yet |"],
      ["NEG-2", "tested", "|  | not yet |"],
      ["NEG-2", "cannot be tested: why", "|  | cannot be tested: why |"]
    ] as const
    for (const [id, state, end] of cases) {
      const rendered = render(row(id, state), tests)
      assert.strictEqual(rendered, `| ${id} | MUST | 2 | Some words. ${end}`)
      assert.strictEqual(render(rendered, tests), rendered)
    }
  })
})
