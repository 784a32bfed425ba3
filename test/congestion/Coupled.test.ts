/**
 * LIA (RFC 6356), OLIA (draft-khalili-mptcp-congestion-control), BALIA (draft-walid-mptcp-congestion-control): formulas by
 * hand, bounds by property, and the state that the paths of one connection share.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Controller, Factory } from "../../src/CongestionControl.ts"
import * as CongestionControl from "../../src/CongestionControl.ts"
import { Balia } from "../../src/internal/congestion/Balia.ts"
import type { Coupled } from "../../src/internal/congestion/Coupling.ts"
import { makeControllers } from "../../src/internal/congestion/PerPath.ts"
import { Lia } from "../../src/internal/congestion/Lia.ts"
import { Olia } from "../../src/internal/congestion/Olia.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"
import { MSS, TestPath } from "./support.ts"

/** Paths with the given windows (packets) and round trips (ms). */
const group = <M extends Coupled<M>>(
  growth: new (path: TestPath, members: Array<M>) => M,
  ...paths: ReadonlyArray<readonly [window: number, rtt: number]>
): Array<M> => {
  const members: Array<M> = []
  for (const [window, rtt] of paths) {
    const path = new TestPath()
    path.setRtt(rtt)
    const member = new growth(path, members)
    member.controller = { congestionWindow: window * MSS }
    member.delivered(0, 0)
    members.push(member)
  }
  return members
}

interface Grower {
  readonly window: number
  readonly acked: (window: number, bytes: number) => number
}

/** Packets by which the window grows for one packet acknowledged. */
const increase = (member: Grower): number => (member.acked(member.window, MSS) - member.window) / MSS

const close = (actual: number, expected: number): void => assert.approximately(actual, expected, 1e-9)

describe("LIA (RFC 6356 section 3)", () => {
  it("alpha and increase by hand: 10 packets at 100 ms, 20 at 200 ms", () => {
    // alpha = 30 * max(10/100^2, 20/200^2) / (10/100 + 20/200)^2 = 30 * 0.001 / 0.04 = 0.75
    const [a, b] = group(Lia, [10, 100], [20, 200])
    close(a!.alpha(), 0.75)
    close(b!.alpha(), 0.75)
    close(increase(a!), 0.75 / 30)
    close(increase(b!), 0.75 / 30)
  })

  it("alpha of two equal paths is 1/2, of one path 1", () => {
    const [a] = group(Lia, [10, 50], [10, 50])
    close(a!.alpha(), 0.5)
    close(increase(a!), 0.025)
    close(increase(group(Lia, [10, 50])[0]!), 0.1)
  })

  it("a large window takes no more than Reno's increase (goal 2)", () => {
    // alpha = 101 * max(1/10^2, 100/1000^2) / (1/10 + 100/1000)^2 = 101 * 0.01 / 0.04 = 25.25
    const [small, large] = group(Lia, [1, 10], [100, 1000])
    close(large!.alpha(), 25.25)
    close(increase(large!), 0.01)
    close(increase(small!), 0.25)
  })
})

describe("OLIA (draft-khalili-mptcp-congestion-control section 3)", () => {
  it("by hand: the best path has the smaller window, so traffic moves there", () => {
    const [a, b] = group(Olia, [10, 100], [20, 100])
    a!.delivered(200 * MSS, 0)
    b!.delivered(100 * MSS, 0)
    close(a!.alpha(), 1 / 2)
    close(b!.alpha(), -1 / 2)
    // (10/100^2) / (30/100)^2 + 0.5/10 and (20/100^2) / (30/100)^2 - 0.5/20
    close(increase(a!), 0.001 / 0.09 + 0.05)
    close(increase(b!), 0.002 / 0.09 - 0.025)
  })

  it("alpha is 0 everywhere when the best path has the largest window", () => {
    const [a, b] = group(Olia, [10, 100], [20, 100])
    b!.delivered(100 * MSS, 0)
    close(a!.alpha(), 0)
    close(b!.alpha(), 0)
  })

  it("the best path is that of the largest l^2/RTT, l the larger of the last two times between losses", () => {
    const [a, b] = group(Olia, [10, 400], [20, 100])
    a!.delivered(150 * MSS, 0)
    b!.delivered(100 * MSS, 0)
    // 150^2/400 = 56.25 against 100^2/100 = 100
    close(a!.alpha(), 0)
    a!.delivered(60 * MSS, 0)
    // 210^2/400 = 110.25
    close(a!.alpha(), 0.5)
    a!.reduced(a!.window)
    close(a!.alpha(), 0.5)
    a!.reduced(a!.window)
    close(a!.alpha(), 0)
  })

  it("alpha lifts no path above Reno (RFC 6356 goal 2)", () => {
    const [short, long] = group(Olia, [10, 10], [20, 400])
    short!.delivered(100 * MSS, 0)
    close(short!.alpha(), 0.5)
    // (10/10^2) / (10/10 + 20/400)^2 = 0.0907, and 0.5/10: more than 1/10
    close(increase(short!), 0.1)
    assert.isBelow(increase(long!), 0)
  })

  it("a loss that was none is taken back, and what came since counts", () => {
    const [a] = group(Olia, [10, 100])
    a!.delivered(30, 0)
    a!.save()
    a!.reduced(a!.window)
    a!.delivered(20, 0)
    a!.restore()
    close(a!.quality, 50 ** 2 / 100)
  })
})

describe("BALIA (draft-walid-mptcp-congestion-control section 3)", () => {
  it("by hand: 20 packets and 10 packets at 100 ms", () => {
    const [fast, slow] = group(Balia, [20, 100], [10, 100])
    close(fast!.alpha(), 1)
    close(slow!.alpha(), 2)
    // x / (rtt * sum^2) = 0.2 / (100 * 0.09), 0.1 / 9; times (1 + alpha)/2 * (4 + alpha)/5
    close(increase(fast!), 0.2 / 9)
    close(increase(slow!), (0.1 / 9) * 1.5 * 1.2)
    close(fast!.reduced(20), 10)
    close(slow!.reduced(10), 2.5)
  })

  it("one path by itself is Reno", () => {
    const [only] = group(Balia, [20, 100])
    close(increase(only!), 1 / 20)
    close(only!.reduced(20), 10)
  })
})

describe("properties over random windows, round trips and histories", () => {
  const seed = 20
  const random = seededBytes(seed)
  const uniform = (): number => {
    const bytes = random(4)
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) / 2 ** 32
  }
  const shape = (): Array<readonly [number, number]> =>
    Array.from({ length: 1 + Math.floor(uniform() * 5) }, () => [2 + uniform() ** 3 * 5000, 0.1 + uniform() ** 2 * 900])

  const cases = <M extends Coupled<M>>(
    growth: new (path: TestPath, members: Array<M>) => M,
    check: (members: ReadonlyArray<M>, info: string) => void
  ): void => {
    for (let i = 0; i < 500; i++) {
      const paths = shape()
      check(group(growth, ...paths), `seed ${seed}, case ${i}: ${JSON.stringify(paths)}`)
    }
  }

  const neverMoreThanReno = <M extends Coupled<M>>(members: ReadonlyArray<M>, info: string): void => {
    for (const member of members) {
      const grown = increase(member)
      assert.isTrue(Number.isFinite(grown), info)
      assert.isAtMost(grown, (MSS / member.window) * (1 + 1e-9) + 1e-12, info)
    }
  }

  it("LIA: alpha above 0; all paths together grow no faster than Reno on the best path", () => {
    cases(Lia, (members, info) => {
      neverMoreThanReno(members, info)
      let best = members[0]!
      for (const member of members) if (member.window / member.rtt ** 2 > best.window / best.rtt ** 2) best = member
      for (const member of members) {
        assert.isAbove(member.alpha(), 0, info)
        assert.isAtMost(increase(member), (MSS / best.window) * (1 + 1e-9) + 1e-12, info)
      }
    })
  })

  it("LIA: alpha is at most 1, and at least 1/n, where round trips are alike", () => {
    for (let i = 0; i < 200; i++) {
      const members = group(Lia, ...shape().map(([window]) => [window, 40] as const))
      const alpha = members[0]!.alpha()
      assert.isAtMost(alpha, 1 + 1e-9)
      assert.isAtLeast(alpha, 1 / members.length - 1e-9)
    }
  })

  it("OLIA: the sum of all alphas is 0, each within -1 and 1", () => {
    cases(Olia, (members, info) => {
      for (const member of members) {
        member.delivered(Math.floor(uniform() * 1e6), 0)
        if (uniform() < 0.5) member.reduced(member.window)
        member.delivered(Math.floor(uniform() * 1e6), 0)
      }
      let sum = 0
      for (const member of members) {
        const alpha = member.alpha()
        assert.isAtMost(Math.abs(alpha), 1, info)
        sum += alpha
      }
      assert.approximately(sum, 0, 1e-9, info)
      neverMoreThanReno(members, info)
    })
  })

  it("BALIA: alpha at least 1; a loss leaves between a quarter and half of the window", () => {
    cases(Balia, (members, info) => {
      neverMoreThanReno(members, info)
      for (const member of members) {
        assert.isAtLeast(member.alpha(), 1, info)
        const left = member.reduced(member.window) / member.window
        assert.isAtMost(left, 0.5 + 1e-9, info)
        assert.isAtLeast(left, 0.25 - 1e-9, info)
      }
    })
  })

  const algorithms: ReadonlyArray<readonly [string, Factory]> = [
    ["lia", CongestionControl.lia],
    ["olia", CongestionControl.olia],
    ["balia", CongestionControl.balia]
  ]

  for (const [name, factory] of algorithms) {
    it(`${name}: no history of acknowledgements and losses leads below the minimum window or to NaN`, () => {
      const controllers = factory()
      const paths = [new TestPath(), new TestPath(), new TestPath()]
      const made = paths.map((path) => controllers.make(path))
      let now = 0
      for (let i = 0; i < 20_000; i++) {
        now += 10
        const at = Math.floor(uniform() * 3)
        const what = uniform()
        const controller = made[at]!
        if (what < 0.9) controller.onAcked(now, MSS * Math.ceil(uniform() * 4), now - 5, uniform() < 0.1)
        else if (what < 0.95) controller.onCongestion(now, now - 5, MSS, uniform() < 0.5)
        else if (what < 0.96) controller.onSpuriousLoss(now)
        else if (what < 0.965) controller.onPersistentCongestion(now)
        else if (what < 0.98) paths[at]!.usable = uniform() < 0.7
        else paths[at]!.setRtt(uniform() < 0.1 ? 0 : uniform() * 500)
        for (const each of made) assert.isAtLeast(each.congestionWindow, 2 * MSS, `seed ${seed}, step ${i}`)
      }
    })
  }
})

/** Two paths of one connection, both in congestion avoidance with 100 packets. */
const avoiding = (factory: Factory) => {
  const controllers = factory()
  const make = (): { path: TestPath; controller: Controller } => {
    const path = new TestPath()
    const controller = controllers.make(path)
    controller.onAcked(1, 190 * MSS, 0.5, false)
    controller.onCongestion(2, 1.5, MSS, true)
    return { path, controller }
  }
  return [make(), make()] as const
}

/** Packets by which one round trip in full use, of the first `paths` paths at once, makes their windows grow together. */
const perRound = (pair: ReturnType<typeof avoiding>, paths: number, now = 1000): number => {
  const used = pair.slice(0, paths)
  const total = (): number => used.reduce((sum, { controller }) => sum + controller.congestionWindow / MSS, 0)
  const before = total()
  for (let i = 0; i < 100; i++) {
    for (const { controller } of used) controller.onAcked(now + 100 + i, MSS, now + i, false)
  }
  return total() - before
}

describe("the paths of one connection", () => {
  for (const factory of [CongestionControl.lia, CongestionControl.olia, CongestionControl.balia]) {
    const { name } = factory

    it(`${name}: two equal paths grow by half a packet together, one without the other by one`, () => {
      assert.approximately(perRound(avoiding(factory), 2), 0.5, 0.02)
      const failing = avoiding(factory)
      failing[1].path.usable = false
      assert.approximately(perRound(failing, 1), 1, 0.02, "not usable")
      failing[1].path.usable = true
      assert.approximately(perRound(failing, 2, 2000), 0.5, 0.02, "usable again")
      const closed = avoiding(factory)
      closed[1].controller.close()
      assert.approximately(perRound(closed, 1), 1, 0.02, "closed")
      const unmeasured = avoiding(factory)
      unmeasured[1].path.rtt.hasSample = false
      assert.approximately(perRound(unmeasured, 1), 1, 0.02, "never measured")
      const idle = avoiding(factory)
      assert.approximately(perRound(idle, 1, 500), 0.25, 0.02, "idle for less than a second")
      assert.approximately(perRound(idle, 1, 2000), 1, 0.03, "idle for longer")
    })

    it(`${name}: connections share nothing`, () => {
      const first = avoiding(factory)
      first[1].controller.close()
      avoiding(factory)
      assert.approximately(perRound(first, 1), 1, 0.02)
    })

    it(`${name}: slow start is not coupled`, () => {
      const controllers = factory()
      const first = controllers.make(new TestPath())
      controllers.make(new TestPath())
      first.onAcked(100, 6000, 1, false)
      assert.strictEqual(first.congestionWindow, 18_000)
    })

    it(`${name}: no growth while the application is the limit; one reduction a round trip; undone if spurious`, () => {
      const pair = avoiding(factory)
      const { controller } = pair[0]
      const window = controller.congestionWindow
      controller.onAcked(500, 50 * MSS, 400, true)
      assert.strictEqual(controller.congestionWindow, window)
      controller.onCongestion(600, 550, MSS, false)
      assert.approximately(controller.congestionWindow, window / 2, 1)
      controller.onCongestion(610, 599, MSS, false)
      assert.approximately(controller.congestionWindow, window / 2, 1)
      controller.onSpuriousLoss(620)
      assert.strictEqual(controller.congestionWindow, window)
    })
  }

  it("OLIA that takes window back does not fall into slow start", () => {
    const pair = avoiding(CongestionControl.olia)
    const [{ controller }, other] = pair
    // The other one has a smaller window, and far more bytes between losses.
    other.controller.onCongestion(300, 250, MSS, true)
    other.controller.onAcked(301, 500 * MSS, 299, false)
    const before = controller.congestionWindow
    for (let i = 0; i < 50; i++) controller.onAcked(1000 + i, MSS, 999, false)
    assert.isBelow(controller.congestionWindow, before)
    assert.isAtMost(controller.slowStartThreshold, controller.congestionWindow)
  })
})

describe("what goes wrong in mp-quic-go (2.E) does not here", () => {
  it("2.E: RTT does not cancel out: of two paths alike but for it, the shorter is the better", () => {
    const [long, short] = group(Olia, [20, 200], [10, 50])
    long!.delivered(100 * MSS, 0)
    short!.delivered(100 * MSS, 0)
    assert.isAbove(short!.quality, long!.quality)
    close(short!.alpha(), 0.5)
  })

  it("2.E: the best path is the largest, not the smallest", () => {
    const [good, bad] = group(Olia, [10, 50], [20, 50])
    good!.delivered(1000 * MSS, 0)
    bad!.delivered(10 * MSS, 0)
    assert.isAbove(good!.alpha(), 0)
    assert.isBelow(bad!.alpha(), 0)
  })

  it("2.E: nothing overflows: 100,000 packets at 0.1 ms and at 2 s", () => {
    const [a, b] = group(Olia, [100_000, 0.1], [100_000, 2000])
    a!.delivered(2 ** 45, 0)
    b!.delivered(2 ** 45, 0)
    assert.approximately(increase(a!) * 100_000, (1 / (1 + 0.1 / 2000)) ** 2, 1e-6)
    assert.isTrue(Number.isFinite(b!.quality) && increase(b!) >= 0)
  })

  it("2.E: without an RTT sample a path grows as Reno, and the others do not see it", () => {
    const pair = avoiding(CongestionControl.olia)
    pair[0].path.rtt.hasSample = false
    pair[1].controller.close()
    assert.approximately(perRound(pair, 1), 1, 0.02)
  })

  it("2.E: the coupled term is there beside alpha: with alpha 0 the window grows", () => {
    const [a, b] = group(Olia, [10, 100], [10, 100])
    close(a!.alpha(), 0)
    close(increase(a!), 0.025)
    close(increase(b!), 0.025)
  })

  it("1.6: many losses in one round trip halve the window once", () => {
    const [{ controller }] = avoiding(CongestionControl.olia)
    const before = controller.congestionWindow
    for (let i = 0; i < 20; i++) controller.onCongestion(100 + i, 50 + i, MSS, false)
    assert.approximately(controller.congestionWindow, before / 2, 1)
  })
})

describe("congestion control of each path", () => {
  it("is chosen by a function of the path, and those with the same share its state", () => {
    const mixed = CongestionControl.perPath((path) =>
      path.pathId === 0 ? CongestionControl.cubic : CongestionControl.olia
    )()
    const make = (pathId: number): Controller => mixed.make(Object.assign(new TestPath(), { pathId }))
    assert.deepStrictEqual(
      [0, 1, 2].map((id) => make(id).name),
      ["cubic", "olia", "olia"]
    )
    const pair = avoiding(CongestionControl.perPath(() => CongestionControl.olia))
    assert.approximately(perRound(pair, 2), 0.5, 0.02)
  })

  it("one perPath may choose another, and each its own for what is wrong in it", () => {
    const inner = CongestionControl.perPath((path) =>
      path.pathId === 1 ? CongestionControl.newReno : (undefined as never)
    )
    const wrong: Array<ReadonlyArray<unknown>> = []
    const controllers = makeControllers(
      CongestionControl.perPath((path) => (path.pathId === 0 ? CongestionControl.balia : inner)),
      (...what) => wrong.push(what)
    )
    const make = (pathId: number): Controller => controllers.make(Object.assign(new TestPath(), { pathId }))
    assert.deepStrictEqual(
      [0, 1, 2].map((id) => make(id).name),
      ["balia", "newReno", "cubic"]
    )
    assert.deepStrictEqual(wrong, [["perPath", "choice for a path", "undefined", "CUBIC"]])
  })

  it("figures of a chosen controller of the user's own are guarded", () => {
    const wrong: Array<unknown> = []
    const odd = { congestionWindow: { value: Number.NaN }, name: { value: "odd" } }
    const own: Factory = () => ({ make: (path) => Object.create(CongestionControl.cubic().make(path), odd) })
    const controllers = makeControllers(
      CongestionControl.perPath(() => own),
      (name, field) => wrong.push(`${name} ${field}`)
    )
    assert.strictEqual(controllers.make(new TestPath()).congestionWindow, 12_000)
    assert.deepStrictEqual(wrong, ["odd congestionWindow"])
  })
})
