import { assert, describe, it } from "@effect/vitest"
import { run, start } from "./support.ts"

describe("demo", () => {
  it("moves a file whole over two paths, one of which is cut", async () => {
    const done = await run("demo", "--size", "2MB")
    assert.strictEqual(done.code, 0, done.stdout + done.stderr)
    const report = done.json()
    assert.deepInclude(report, { ok: true, sha256Match: true, bytes: 2_000_000, cutPath: 0 })
    assert.isAbove(report.stallMs, 0)
    assert.lengthOf(report.paths, 2)
    for (const path of report.paths) assert.isAbove(path.share, 0.05)
    assert.approximately(report.paths[0].share + report.paths[1].share, 1, 0.001)
    for (const part of ["path 0 is cut now", "hash     match", "goodput", "without new bytes after path 0 was cut"])
      assert.include(done.stdout, part)
  })

  it("leaves nothing behind when it is interrupted", async () => {
    const demo = start("demo", "--size", "20MB", "--no-cut")
    await demo.saw(/path 1 .*Mbit\/s/)
    demo.kill("SIGINT")
    const done = await demo.finished
    assert.strictEqual(done.code, 130)
    assert.isFalse(done.json().ok)
    assert.notInclude(done.stdout, "is cut now")
  })
})
