/** bench/wsp.ts: which networks it tries, what it makes of the times, and that a run runs. */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { benefitOf, quantile, summaryOf } from "../../bench/wsp/benefit.ts"
import { classes, linkOf, scenariosOf, spaceFilling } from "../../bench/wsp/design.ts"
import { handover } from "../../bench/wsp/handover.ts"
import { measure } from "../../bench/wsp/measure.ts"
import { measurePair, pairs } from "../../bench/wsp/pairs.ts"
import { picture } from "../../bench/wsp/picture.ts"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import { deliveryRate } from "../../src/internal/paths/schedulers/DeliveryRate.ts"
import { lowLatency } from "../../src/internal/paths/schedulers/LowLatency.ts"
import { Prng } from "../../src/testing/internal/SimulatorCore.ts"

const closest = (points: ReadonlyArray<ReadonlyArray<number>>): number =>
  Math.min(
    ...points.flatMap((a, i) => points.slice(0, i).map((b) => Math.hypot(...a.map((value, d) => value - b[d]!))))
  )

describe("WSP design", () => {
  it("has as many points as asked for, in the unit cube, at least the distance apart that it tells", () => {
    for (const [count, dimensions] of [
      [1, 6],
      [2, 8],
      [12, 6],
      [40, 8]
    ] as const) {
      const { distance, points } = spaceFilling(count, dimensions, 3)
      assert.lengthOf(points, count)
      for (const point of points) {
        assert.lengthOf(point, dimensions)
        for (const value of point) assert.isTrue(value >= 0 && value < 1)
      }
      if (count > 1) assert.isAtLeast(closest(points), distance)
    }
  })

  it("fills the space: its closest points are farther apart than those of chance", () => {
    const random = new Prng(5)
    const chance = Array.from({ length: 40 }, () => Array.from({ length: 6 }, () => random.next()))
    assert.isAbove(closest(spaceFilling(40, 6, 5).points), 2 * closest(chance))
  })

  it("repeats from its seed; another seed, or class, gives another one", () => {
    const [first, second] = classes
    assert.deepStrictEqual(scenariosOf(first!, 7, 9), scenariosOf(first!, 7, 9))
    assert.notDeepEqual(scenariosOf(first!, 7, 9), scenariosOf(first!, 7, 10))
    assert.notDeepEqual(spaceFilling(7, 6, 9, first!.name).points, spaceFilling(7, 6, 9, second!.name).points)
  })

  it("stays within the ranges of the class, and reaches into their corners", () => {
    assert.deepStrictEqual(
      classes.map(({ name }) => name),
      ["low-bdp-no-loss", "high-bdp-no-loss", "low-bdp-loss", "high-bdp-loss"]
    )
    for (const of of classes) {
      const paths = scenariosOf(of, 30, 1).flatMap((scenario) => scenario.paths)
      for (const factor of ["mbps", "rtt", "queueing", "loss"] as const) {
        const [from, to] = of[factor]
        const drawn = paths.map((one) => one[factor])
        assert.isAtLeast(Math.min(...drawn), from)
        assert.isAtMost(Math.max(...drawn), to)
        if (to === 0) continue
        assert.isBelow(Math.min(...drawn), from + 0.2 * (to - from), `${of.name} ${factor}`)
        assert.isAbove(Math.max(...drawn), to - 0.2 * (to - from), `${of.name} ${factor}`)
      }
    }
  })

  it("queues hold what drains in the given time, and never less than ten packets", () => {
    assert.deepStrictEqual(linkOf({ mbps: 12, rtt: 30, queueing: 100, loss: 0.01 }), {
      mbps: 12,
      delay: 15,
      queue: 100,
      loss: 0.01
    })
    assert.strictEqual(linkOf({ mbps: 0.1, rtt: 30, queueing: 1, loss: 0 }).queue, 10)
  })
})

describe("aggregation benefit", () => {
  it("is 0 for the best path alone, 1 for the sum, -1 for nothing", () => {
    assert.strictEqual(benefitOf(10, [10, 5]), 0)
    assert.strictEqual(benefitOf(15, [10, 5]), 1)
    assert.strictEqual(benefitOf(0, [10, 5]), -1)
    assert.closeTo(benefitOf(12, [10, 5]), 0.4, 1e-12)
    assert.closeTo(benefitOf(8, [5, 10]), -0.2, 1e-12)
    assert.strictEqual(benefitOf(10, [10, 0]), 0)
  })

  it("is summed up by the share above 0, median and 10th percentile", () => {
    const summary = summaryOf([-0.5, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1, 1, 1])
    assert.deepStrictEqual(summary, {
      runs: 11,
      shareAboveZero: 9 / 11,
      median: 0.8,
      p10: 0,
      shareBelowMinusTenth: 1 / 11
    })
    assert.strictEqual(quantile([1, 2], 0.5), 1.5)
  })

  it("is drawn as the share of runs that gain no more", () => {
    const svg = picture("title", "note", [{ title: "a < b", lines: [{ name: "one", benefits: [1, -1] }] }])
    assert.include(svg, "a &lt; b")
    assert.match(svg, /<path class="line c0" d="M40\.0 190\.0H40\.0V112\.0H\S+V34\.0H326\.0">/)
  })
})

describe("pairs of unlike paths", () => {
  // The figures that are to be reached, of 20 and 200 MB, are in test/soak.
  it("3 MB are never slower than over the best path alone, whichever path comes first", () => {
    const parts = { scheduler: deliveryRate, congestion: cubic }
    for (const pair of pairs) {
      const { together } = measurePair(pair, parts, { bytes: 3_000_000, open: true, alone: cubic })
      for (const { benefit } of together) assert.isAtLeast(benefit, 0, pair.name)
    }
  })
})

describe("a run", () => {
  const paths = [
    { mbps: 8, rtt: 20, queueing: 50, loss: 0 },
    { mbps: 4, rtt: 30, queueing: 50, loss: 0 }
  ] as const
  const task = {
    scenario: { paths },
    bytes: 400_000,
    seed: 1,
    repeats: 1,
    open: false,
    schedulers: ["deliveryRate"],
    congestion: "cubic",
    congestionAlone: "cubic",
    reinjection: "none"
  }

  it("takes as long as its links make it, and repeats", () => {
    const outcome = measure(task)
    const [first, second] = outcome.alone
    assert.isTrue(first > 400 && first < 600, `${first}`)
    assert.isTrue(second > 800 && second < 1000, `${second}`)
    for (const ms of outcome.together["deliveryRate"]!) assert.isTrue(ms > 400_000 / 1500 && ms < first, `${ms}`)
    assert.deepStrictEqual(measure(task), outcome)
  })

  it("counts without the handshake where paths are open already", () => {
    const open = measure({ ...task, open: true })
    const all = measure(task)
    const handshake = all.alone[0] - open.alone[0]
    // A round trip, and what its packets take on the wire.
    assert.isTrue(handshake > 20 && handshake < 30, `${handshake}`)
  })

  it("one scenario from the command line: a table, and JSON in the last line", { timeout: 60_000 }, async () => {
    const args = ["bench/wsp.ts", "--scenarios", "1", "--class", "low-bdp-loss", "--size", "100000", "--json"]
    const out = await new Promise<string>((resolve, reject) => {
      execFile(process.execPath, args, { cwd: path.resolve(import.meta.dirname, "../..") }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(error)
      )
    })
    const lines = out.trimEnd().split("\n")
    assert.match(lines[0]!, /^\| class \|/)
    const { classes: summaries } = JSON.parse(lines.at(-1)!) as { classes: ReadonlyArray<Record<string, unknown>> }
    assert.lengthOf(summaries, 1)
    assert.strictEqual(summaries[0]!["class"], "low-bdp-loss")
    assert.strictEqual(summaries[0]!["runs"], 2)
    for (const key of ["shareAboveZero", "median", "p10"]) assert.isNumber(summaries[0]![key])
  })
})

describe("handover (STA-8)", () => {
  // Before the request, while it is under way, at the server, and while the reply is under way or acknowledged.
  for (const [name, scheduler] of Object.entries({ deliveryRate, lowLatency })) {
    it(`${name}: whenever the path dies, one request waits, for a probe timeout and a round trip at most`, () => {
      for (const diesAt of [7000, 7200.5, 7204.5, 7207.5, 7208.5, 7212.5, 7216.5, 7217.5, 7220.5, 7240.5]) {
        const { affected, normal, pto, rtt, slow } = handover({ scheduler, congestion: cubic }, diesAt)
        assert.isAtMost(affected, normal + pto + rtt, `dies at ${diesAt} ms`)
        assert.isAtMost(slow, 1, `dies at ${diesAt} ms`)
      }
    })
  }
})
