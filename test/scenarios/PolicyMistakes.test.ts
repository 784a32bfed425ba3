/**
 * Policies that are wrong: each kind of them, in each way. What they get wrong is counted and told once, by name, whatever
 * their texts say; something safe is done instead, and nothing is lost.
 */
import { assert, describe, it } from "@effect/vitest"
import { perPath } from "../../src/internal/congestion/PerPath.ts"
import type { NodeOptions } from "../support/Machines.ts"
import { lowLatency } from "../support/Machines.ts"
import { withPaths } from "../support/Multipath.ts"
import { intact, send } from "../support/Scenario.ts"

let calls = 0

/** Ways to answer: each throw has another text, and most rejections would end the process if nobody took them. */
const ways: Readonly<Record<string, (right: unknown) => unknown>> = {
  throws: () => {
    throw new Error(`call ${++calls}`)
  },
  "throws what is no text": () => {
    throw Object.create(null)
  },
  "gives NaN": () => NaN,
  "gives null": () => null,
  "gives an object of its own": (right) => ({ ...(right as object), id: 1000 + ++calls }),
  "gives a Promise": () => Promise.reject(new Error("late"))
}

interface Kind {
  /** What the sentence begins with. */
  readonly told: RegExp
  readonly options: (way: (right?: unknown) => never) => NodeOptions
  readonly count: "schedulerMistakes" | "controllerMistakes" | "policyMistakes"
  /** Ways that are right here: an observer may give anything but a Promise. */
  readonly harmless?: RegExp | undefined
}

const observer = (hook: string): Kind => ({
  told: new RegExp(`^The observer "crooked" is wrong: its ${hook} .* It is not called any more$`),
  options: (way) => ({ observers: [() => ({ name: "crooked", [hook]: way })] }),
  count: "policyMistakes",
  harmless: /NaN|null|object/
})

const policy = (part: string, field: string, options: Kind["options"], harmless?: RegExp): Kind => ({
  told: new RegExp(`^The ${part} "crooked" is wrong: its ${field} .* is used instead, and it is counted$`),
  options,
  count: "policyMistakes",
  harmless
})

const name = "crooked"

const kinds: Readonly<Record<string, Kind>> = {
  "scheduler, select": {
    told: /^The path scheduler "crooked" is wrong: what it chooses is none/,
    options: (way) => ({ scheduler: () => ({ name, select: ({ paths }) => way(paths[0]) }) }),
    count: "schedulerMistakes",
    // It has no fallback: the connection ends, and says why (test/scenarios/Policies.test.ts).
    harmless: /throws/
  },
  "scheduler, redundancy": {
    told: /^The path scheduler "crooked" is wrong: its redundancy is no number/,
    options: (way) => ({ scheduler: () => ({ ...lowLatency(), name, redundancy: way() }) }),
    count: "schedulerMistakes",
    harmless: /throws/
  },
  "congestion chooser": {
    told: /^The congestion controller "perPath" is wrong: its choice for a path .* CUBIC is used instead/,
    options: (way) => ({ congestion: perPath(way) }),
    count: "controllerMistakes"
  },
  "chosen congestion control": {
    told: /^The congestion controller "perPath" is wrong: its factory of the chosen controller .* CUBIC is used instead/,
    options: (way) => ({ congestion: perPath(() => way) }),
    count: "controllerMistakes"
  },
  "duplication, stream": policy("duplication policy", "stream", (stream) => ({
    duplication: () => ({ name, stream })
  })),
  "duplication, datagram": policy("duplication policy", "datagram", (datagram) => ({
    duplication: () => ({ name, datagram })
  })),
  "reinjection, delay": policy("reinjection policy", "delay", (delay) => ({
    reinjection: () => ({ name, modes: ["onDelay"], delay })
  })),
  "reinjection, selectTarget": policy("reinjection policy", "selectTarget", (way) => ({
    reinjection: () => ({
      name,
      modes: ["onLoss", "onDelay", "onIdle"],
      selectTarget: ({ candidates }) => way(candidates[0])
    })
  })),
  "failure detector": policy("failure detector", "isFailed", (isFailed) => ({
    failures: () => ({ name, isFailed })
  })),
  "observer, onPacketSent": observer("onPacketSent"),
  "observer, onPacketAcked": observer("onPacketAcked"),
  "observer, onPacketLost": observer("onPacketLost"),
  "observer, onPathState": observer("onPathState")
}

/** Settings that are no figures of their kind. */
const settings: Readonly<Record<string, Kind>> = {
  "duplication, paths": policy("duplication policy", "paths", () => ({ duplication: () => ({ name, paths: NaN }) })),
  "duplication, budget": policy("duplication policy", "budget", () => ({ duplication: () => ({ name, budget: -1 }) })),
  "duplication, crypto": policy("duplication policy", "crypto", () => ({
    duplication: () => ({ name, crypto: NaN as never })
  })),
  "reinjection, modes": policy("reinjection policy", "modes", () => ({
    reinjection: () => ({ name, modes: NaN as never })
  })),
  "reinjection, preferredPaths": policy("reinjection policy", "preferredPaths", () => ({
    reinjection: () => ({ name, preferredPaths: 0 as never })
  })),
  "reinjection, control": policy("reinjection policy", "control", () => ({
    reinjection: () => ({ name, control: "no" as never })
  })),
  "reinjection, minInterval": policy("reinjection policy", "minInterval", () => ({
    reinjection: () => ({ name, minInterval: -1 })
  }))
}

const BYTES = 300_000
const links = [
  { mbps: 20, delay: 10, queue: 50, loss: 0.03 },
  { mbps: 10, delay: 30, queue: 50, loss: 0.03 }
]

/** Both sides send over two paths that lose some, and one of them is silent for a while. */
const check = (kind: Kind, options: NodeOptions): void => {
  const pair = withPaths({ links, client: options })
  const { accepted, connection, simulator } = pair
  const up = send(connection, accepted, BYTES)
  const down = send(accepted, connection, BYTES)
  for (let i = 0; i < 20; i++) connection.datagrams.push(new Uint8Array(100))
  pair.run(simulator.now + 60)
  pair.links[0]!.cut()
  pair.run(simulator.now + 300)
  pair.links[0]!.restore()
  pair.until(() => up.finished && down.finished, simulator.now + 20_000, 5)
  intact(up, BYTES, "up")
  intact(down, BYTES, "down")
  const stats = connection.stats()
  assert.isAbove(stats[kind.count], 0)
  assert.lengthOf(stats.mistakes, 1, "each once, whatever its text is")
  assert.match(stats.mistakes[0]!, kind.told)
  assert.deepStrictEqual(accepted.stats().mistakes, [])
}

describe("policies that are wrong", () => {
  for (const [what, kind] of Object.entries(kinds)) {
    for (const [way, answer] of Object.entries(ways)) {
      if (kind.harmless?.test(way) === true) continue
      it(`${what}: ${way}`, () => check(kind, kind.options(answer as never)))
    }
  }
  for (const [what, kind] of Object.entries(settings)) {
    it(`${what}: out of range`, () => check(kind, kind.options(undefined as never)))
  }

  it("right ones have nothing to be told of", () => {
    const pair = withPaths({ links })
    send(pair.connection, pair.accepted, BYTES)
    pair.run(pair.simulator.now + 2000)
    const { controllerMistakes, mistakes, policyMistakes, schedulerMistakes } = pair.connection.stats()
    assert.deepStrictEqual([controllerMistakes, policyMistakes, schedulerMistakes, mistakes], [0, 0, 0, []])
  })
})
