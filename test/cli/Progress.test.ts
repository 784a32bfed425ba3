import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock, TestConsole } from "effect/testing"
import { bar, progressBlock, progressLine, Rates, show } from "../../src/cli/Progress.ts"
import type { Sample, View } from "../../src/cli/Progress.ts"
import { statsBlock, statsLine } from "../../src/cli/StatsTable.ts"
import { summaryLines, toJson } from "../../src/cli/Result.ts"
import type { PathReport, TransferReport } from "../../src/cli/Result.ts"
import { Meter } from "../../src/cli/Transfer.ts"

const path = (id: number, bytesReceived: number, more?: Partial<PathReport>): PathReport => ({
  id,
  local: `127.0.0.${id + 1}:1000`,
  remote: "127.0.0.1:4433",
  bytesReceived,
  bytesSent: 0,
  packetsSent: 0,
  packetsLost: 0,
  share: 0,
  smoothedRttMs: 0,
  state: "active",
  ...more
})

const sample = (time: number, bytes: number, first: number, second: number): Sample => ({
  time,
  bytes,
  paths: [path(0, first), path(1, second)]
})

describe("rates", () => {
  it("are those of the last second, with the share of each path", () => {
    const rates = new Rates(10_000_000)
    assert.strictEqual(rates.add(sample(0, 0, 0, 0)).rate, 0)
    rates.add(sample(1000, 1_000_000, 1_000_000, 0))
    const view = rates.add(sample(2000, 3_000_000, 1_500_000, 1_500_000))
    assert.strictEqual(view.rate, 16)
    assert.deepStrictEqual(
      view.paths.map(({ rate, share }) => [rate, share]),
      [
        [4, 0.25],
        [12, 0.75]
      ]
    )
  })

  it("count a path that came later from nothing", () => {
    const rates = new Rates(undefined)
    rates.add({ time: 0, bytes: 0, paths: [path(0, 0)] })
    const view = rates.add({ time: 500, bytes: 0, paths: [path(0, 0), path(1, 1_000_000)] })
    assert.strictEqual(view.paths[1]!.rate, 16)
    assert.strictEqual(view.paths[1]!.share, 1)
  })
})

const view: View = {
  seconds: 1.25,
  bytes: 15_000_000,
  total: 30_000_000,
  rate: 58.3,
  paths: [
    { id: 0, local: "a", remote: "b", state: "potentiallyFailed", rate: 0, share: 0 },
    { id: 1, local: "c", remote: "d", state: "active", rate: 58.3, share: 1 }
  ]
}

describe("drawing", () => {
  it("a bar that fills", () => {
    assert.strictEqual(bar(view, 10), "[=====>    ]")
    assert.strictEqual(bar({ ...view, bytes: 30_000_000 }, 10), "[==========]")
    assert.strictEqual(bar({ ...view, bytes: 0, total: 0 }, 4), "[====]")
  })

  it("a bar that wanders where the size is not known", () => {
    for (let seconds = 0; seconds < 5; seconds += 0.1) {
      const text = bar({ ...view, seconds, total: undefined }, 10)
      assert.match(text, /^\[ *<=> *\]$/)
      assert.lengthOf(text, 12)
    }
  })

  it("one line for logs", () => {
    assert.strictEqual(
      progressLine(view),
      "  1.3 s   50 %  15.0 MB of 30.0 MB   58.3 Mbit/s | path 0   0.0 Mbit/s   0 %  no answer | path 1  58.3 Mbit/s 100 %"
    )
  })

  it("lines for a terminal, none too long for it", () => {
    for (const columns of [1, 20, 80, 200]) {
      const lines = progressBlock(view, columns, 24)
      assert.lengthOf(lines, 3)
      for (const line of lines) assert.isBelow(line.length, Math.max(2, columns))
    }
  })
})

describe("a narrow terminal", () => {
  const way = { local: "127.0.0.1:50656", remote: "127.0.0.1:4433" }
  const paths = view.paths.map((each) => ({ ...each, ...way }))

  it("N8: of 80 columns shows the addresses of a path, and that it is silent", () => {
    const [, silent, working] = progressBlock({ ...view, paths }, 80, 24)
    assert.match(silent!, /no answer {2}127\.0\.0\.1:50656 -> /)
    assert.match(working!, /#{10,} {2}127\.0\.0\.1:50656 -> 127\.0\.0\.1:4433$/)
    assert.match(progressBlock({ ...view, paths }, 54, 24)[1]!, /no answer/)
  })

  it("N8: --stats has no note on columns for which there is no room", () => {
    const said = statsBlock({ ...view, figures: [] }, 40, 24, false).join(" ")
    assert.notInclude(said, "in flight")
  })
})

describe("a low terminal", () => {
  const paths = Array.from({ length: 12 }, (_, id) => ({ ...view.paths[1]!, id }))
  const cases: ReadonlyArray<readonly [rows: number, lines: number, last: RegExp]> = [
    [24, 13, /path 11/],
    [14, 13, /path 11/],
    [13, 12, /and 2 more paths/],
    [10, 9, /and 5 more paths/],
    [3, 2, /and 12 more paths/],
    [2, 1, /Mbit/],
    [1, 1, /Mbit/],
    [0, 1, /Mbit/]
  ]
  for (const [rows, count, last] of cases) {
    it(`D11: of ${rows} rows is not scrolled by 12 paths`, () => {
      const lines = progressBlock({ ...view, paths }, 80, rows)
      assert.lengthOf(lines, count)
      assert.match(lines.at(-1)!, last)
    })
  }
})

describe("the table of --stats", () => {
  const figures = [
    { id: 0, rttMs: 20.14, window: 12_000, inFlight: 1200, sent: 345, lost: 2 },
    { id: 1, rttMs: 60, window: 24_000, inFlight: 0, sent: 17, lost: 0 }
  ]
  const full: View = { ...view, figures }

  it("has each figure of each path, and says whose they are", () => {
    const lines = statsBlock(full, 200, 24, false)
    assert.match(lines[1]!, /path +state +RTT ms +Mbit\/s +share +window +in flight +sent +lost/)
    assert.match(lines[2]!, /0 +no answer +20\.1 +0\.0 +0 % +12\.0 kB +1\.2 kB +345 +2 +a -> b$/)
    assert.match(lines[3]!, /1 +active +60\.0 +58\.3 +100 % +24\.0 kB +0 B +17 +0 +c -> d$/)
    assert.match(lines.slice(4).join(" "), /of what this side sends: of a download, requests and acknowledgements/)
    assert.lengthOf(lines, 6)
  })

  it("gives addresses a line of their own where there is no room, and stays within the terminal", () => {
    assert.include(statsBlock(full, 100, 24, false), "      a -> b")
    for (const columns of [1, 20, 80, 132, 200]) {
      for (const rows of [0, 1, 2, 4, 24]) {
        const lines = statsBlock(full, columns, rows, false)
        assert.isAtMost(lines.length, Math.max(1, rows - 1))
        for (const line of lines.slice(0, -1)) assert.isBelow(line.length, Math.max(2, columns))
      }
    }
  })

  it("has colours only where they are wanted, and the same text", () => {
    const painted = statsBlock(full, 100, 24, true).join("\n")
    assert.include(painted, "\u001b[33m")
    // eslint-disable-next-line no-control-regex
    assert.strictEqual(painted.replaceAll(/\u001b\[\d+m/g, ""), statsBlock(full, 100, 24, false).join("\n"))
  })

  it("is one line where there is no terminal; of a path that is gone what is known", () => {
    const line = statsLine({ ...full, figures: figures.slice(1) })
    assert.notInclude(line, "\n")
    assert.match(line, /\| path 0 a -> b no answer +0\.0 Mbit\/s +0 % \| path 1 c -> d active/)
    assert.include(line, "RTT 60.0 ms  window 24.0 kB  in flight 0 B  sent 17  lost 0")
    assert.match(statsBlock({ ...full, figures: [] }, 200, 24, false)[2]!, / - +0\.0 +0 % +- +- +- +-/)
  })
})

const record = (isTTY: boolean) => {
  const written: Array<string> = []
  return {
    written,
    terminal: {
      isTTY,
      color: false,
      columns: () => 80,
      rows: () => 24,
      write: (text: string) => void written.push(text)
    }
  }
}

const read = (): Omit<Sample, "time"> => ({ bytes: 1, paths: [path(0, 1)] })

describe("the display", () => {
  it.effect("writes a line every half second where there is no terminal", () =>
    Effect.gen(function* () {
      const { terminal, written } = record(false)
      const display = yield* show({ total: 2, read, terminal })
      yield* TestClock.adjust(2000)
      assert.lengthOf(written, 4)
      yield* display.note("hello")
      yield* display.finish
      yield* TestClock.adjust(2000)
      assert.lengthOf(written, 6)
      assert.strictEqual(written[4], "hello\n")
      assert.notInclude(written.join(""), "\u001b")
    }).pipe(Effect.scoped)
  )

  it.effect("draws over its own lines on a terminal, and keeps notes above them", () =>
    Effect.gen(function* () {
      const { terminal, written } = record(true)
      const display = yield* show({ total: 2, read, terminal })
      yield* TestClock.adjust(150)
      assert.isFalse(written[0]!.startsWith("\u001b"))
      assert.isTrue(written[1]!.startsWith("\u001b[2A\u001b[J"))
      yield* display.note("hello")
      assert.isTrue(written.at(-1)!.startsWith("\u001b[2A\u001b[Jhello\n  0"))
      yield* display.finish
      const count = written.length
      yield* TestClock.adjust(1000)
      yield* display.note("after")
      assert.deepStrictEqual(written.slice(count), ["after\n"])
    }).pipe(Effect.scoped)
  )

  it.effect("D11: keeps what went wrong above the lines that are drawn again", () =>
    Effect.gen(function* () {
      const { terminal, written } = record(true)
      const display = yield* show({ total: 2, read, terminal })
      yield* TestClock.adjust(150)
      yield* display.trouble("no further path\nfrom there")
      assert.isTrue(written.at(-1)!.startsWith("\u001b[2A\u001b[Jmpquic: no further path\n        from there\n  0"))
      assert.deepStrictEqual(yield* TestConsole.errorLines, [])
      yield* display.finish
      yield* display.trouble("late")
      assert.deepStrictEqual(yield* TestConsole.errorLines, ["mpquic: late"])
    }).pipe(Effect.scoped)
  )

  it.effect("says nothing while there is nothing", () =>
    Effect.gen(function* () {
      const { terminal, written } = record(false)
      yield* show({ total: 2, read: () => undefined, terminal })
      yield* TestClock.adjust(2000)
      assert.deepStrictEqual(written, [])
    }).pipe(Effect.scoped)
  )
})

describe("the meter", () => {
  it("finds the longest gap, from the first byte on and anew after a cut", () => {
    let now = 0
    const meter = new Meter(() => now)
    const at = (time: number): void => {
      now = time
      meter.add(10)
    }
    at(900)
    assert.strictEqual(meter.longestGap, 0)
    at(1000)
    at(1300)
    at(1350)
    assert.strictEqual(meter.longestGap, 300)
    now = 1360
    meter.forgetGaps()
    at(1500)
    at(1510)
    // The gap that the cut fell into counts from its beginning.
    assert.strictEqual(meter.longestGap, 150)
    assert.strictEqual(meter.bytes, 60)
    assert.strictEqual(meter.seconds, 1.51)
  })
})

describe("the result", () => {
  const report: TransferReport = {
    ok: true,
    sha256Match: true,
    bytes: 30_000_000,
    seconds: 8.59962,
    goodputMbps: 27.90812,
    stallMs: 124.3456,
    cutPath: 0,
    paths: [path(0, 10, { share: 1 / 3, packetsSent: 200, packetsLost: 3, smoothedRttMs: 41.6031 })]
  }

  it("is one line of JSON", () => {
    const json = toJson(report)
    assert.notInclude(json, "\n")
    assert.deepStrictEqual(JSON.parse(json), {
      ok: true,
      sha256Match: true,
      bytes: 30_000_000,
      seconds: 8.6,
      goodputMbps: 27.91,
      stallMs: 124.3,
      cutPath: 0,
      paths: [{ ...report.paths[0], share: 0.3333, smoothedRttMs: 41.6 }]
    })
  })

  it("is told to people as well", () => {
    const text = summaryLines(report).join("\n")
    for (const part of [
      "hash     match",
      "8.60 s",
      "27.9 Mbit/s",
      "124 ms",
      "path 0 was cut",
      "lost 3 of 200 packets (1.5 %)"
    ])
      assert.include(text, part)
    assert.include(summaryLines({ ...report, sha256Match: false }).join("\n"), "MISMATCH")
    // D11: of a download this side knows no more than this.
    const own = summaryLines({ ...report, lossOf: "acknowledgements" }).join("\n")
    assert.include(own, "lost 3 of 200 packets sent from here, mostly acknowledgements")
  })
})
