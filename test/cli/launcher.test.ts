import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const launcher = fileURLToPath(new URL("../../bin/mpquic.js", import.meta.url))

const start = (...args: ReadonlyArray<string>) => spawnSync(process.execPath, args, { encoding: "utf8" })

describe("the launcher", () => {
  it("C17: starts the program of a checkout, which nobody has built", () => {
    const { status, stdout } = start(launcher, "--version")
    assert.match(stdout, /^mpquic v\d/)
    assert.strictEqual(status, 0)
  })

  it("D11: says in a sentence that Node is too old", () => {
    for (const [version, fits] of [
      ["20.20.2", false],
      ["22.18.0", false],
      ["23.0.0", true]
    ] as const) {
      const older = `data:text/javascript,Object.defineProperty(process,"versions",{value:{node:"${version}"}})`
      const { status, stderr, stdout } = start("--import", older, launcher, "--version")
      assert.strictEqual(status, fits ? 0 : 1, stderr)
      if (fits) continue
      assert.match(stderr, /^mpquic: Node 22\.19 or later is needed/)
      assert.lengthOf(stderr.trimEnd().split("\n"), 1)
      assert.strictEqual(stdout, "")
    }
  })
})
