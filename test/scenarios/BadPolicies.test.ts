/**
 * Policies that go wrong while data flows: each function of each part, and whatever it answers or throws. The connection helps
 * itself, tells it once by the part's name, counts it, and nothing is lost; only a scheduler or a controller that throws ends it.
 */
import { assert, describe, it } from "@effect/vitest"
import { cubic } from "../../src/internal/congestion/Cubic.ts"
import type { NodeOptions } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { lowLatency } from "../support/Machines.ts"
import { awaitPath, connected, openPath } from "../support/Multipath.ts"
import { ending, exchange, send } from "../support/Scenario.ts"

const thrower = (): never => {
  throw new Error("out of order")
}

/** What no function of a policy may answer; which of them is right is said by each. */
const answers: Readonly<Record<string, () => unknown>> = {
  throws: thrower,
  nothing: () => undefined,
  null: () => null,
  NaN: () => Number.NaN,
  "a negative number": () => -50,
  Infinity: () => Infinity,
  text: () => "soon",
  "an object": () => ({ id: 77 }),
  "a Promise": () => Promise.resolve(true),
  "a rejected Promise": () => Promise.reject(new Error("out of order"))
}

interface Wrong {
  readonly node: (answer: () => unknown) => NodeOptions
  /** Answers that are none of its faults: a function for whose answer nobody asks, or that may say nothing. */
  readonly right?: ReadonlyArray<string>
}

const reinjecting = { name: "wrong", modes: ["onLoss", "onDelay", "onIdle"] as const }
const always = () => ({ name: "always" })
const duplicating = () => ({ name: "all", stream: () => true })

/** By part and function. */
const wrong: Readonly<Record<string, Wrong>> = {
  "duplication: stream": {
    node: (answer) => ({ duplication: () => ({ name: "wrong", stream: answer as never }) }),
    right: ["nothing"]
  },
  "duplication: datagram": {
    node: (answer) => ({ duplication: () => ({ name: "wrong", datagram: answer as never }) }),
    right: ["nothing"]
  },
  "reinjection: selectTarget": {
    node: (answer) => ({ reinjection: () => ({ ...reinjecting, selectTarget: answer as never }) })
  },
  "reinjection: delay": {
    node: (answer) => ({ reinjection: () => ({ ...reinjecting, delay: answer as never }) }),
    right: ["Infinity"]
  },
  "failures: isFailed": {
    node: (answer) => ({ failures: () => ({ name: "wrong", isFailed: answer as never }), reinjection: always })
  },
  ...Object.fromEntries(
    (["onPacketSent", "onPacketAcked", "onPacketLost", "onPathState"] as const).map((call): [string, Wrong] => [
      `observer: ${call}`,
      {
        node: (answer) => ({
          observers: [() => ({ name: "wrong", [call]: answer as never })],
          duplication: duplicating
        }),
        right: ["nothing", "null", "NaN", "a negative number", "Infinity", "text", "an object"]
      }
    ])
  )
}

const links = [
  { mbps: 20, delay: 10, queue: 40, loss: 0.05 },
  { mbps: 10, delay: 30, queue: 40, loss: 0.05 }
]

/** Two lossy paths, data both ways, datagrams, and a cut of each path: every function of every policy is called. */
const eventful = (node: NodeOptions): Pair => {
  const pair = connected({ links, client: node })
  pair.run(pair.simulator.now + 300)
  awaitPath(pair, openPath(pair, 1))
  for (const link of [1, 0]) {
    const up = send(pair.connection, pair.accepted, 60_000)
    for (let i = 0; i < 5; i++) pair.connection.datagrams.push(new Uint8Array(100))
    pair.connection.wake()
    pair.run(pair.simulator.now + 40)
    pair.links[link]!.cut()
    pair.run(pair.simulator.now + 600)
    pair.links[link]!.restore()
    pair.until(() => up.finished, pair.simulator.now + 20_000, 5)
    assert.isTrue(up.finished)
  }
  return pair
}

describe("Bad input: policies that go wrong while data flows", () => {
  for (const [what, { node, right = [] }] of Object.entries(wrong)) {
    it(`${what}: whatever it answers or throws, nothing is lost, and it is told once`, () => {
      for (const [kind, answer] of Object.entries(answers)) {
        // One that is right stands for the others.
        if (right.includes(kind) && kind !== right[0]) continue
        const pair = eventful(node(answer))
        const { told } = pair.client
        const { mistakes } = pair.connection.core
        exchange(pair, 20_000, 20_000, `${what}, ${kind}`)
        const expected = !right.includes(kind)
        assert.strictEqual(mistakes.policy > 0, expected, `${kind}: ${mistakes.policy} mistakes`)
        assert.strictEqual(pair.connection.state, "established", kind)
        assert.deepStrictEqual([...pair.client.closes, ...pair.server.closes], [], kind)
        assert.lengthOf(told, expected ? 1 : 0, `${kind}: ${told.join("; ")}`)
        if (expected) assert.match(told[0]!, /"wrong" is wrong/)
      }
    })
  }

  /** Of functions that answer nothing: an async one that fails would end the process. */
  const late = (): Promise<never> => Promise.reject(new Error("out of order"))

  it("an async function where nothing is asked for is told once by name, and its failure ends nothing", () => {
    const pair = eventful({
      scheduler: () => ({ ...lowLatency(), onPacketSent: late, onPacketAcked: late, onPacketLost: late }),
      congestion: () => {
        const own = cubic()
        const calls = { onPersistentCongestion: late, close: late, onDelivered: late, onPacketLost: late }
        return { make: (path) => Object.assign(own.make(path), calls) }
      }
    })
    const { mistakes } = pair.connection.core
    assert.isAbove(mistakes.scheduler, 100)
    const ofScheduler = pair.client.told.filter((sentence) => sentence.includes("lowLatency"))
    assert.lengthOf(ofScheduler, 3)
    for (const sentence of ofScheduler) assert.match(sentence, /its onPacket\w+ gives a Promise/)
    const ofController = pair.client.told.filter((sentence) => sentence.includes("cubic")).join()
    for (const call of ["onDelivered", "onPacketLost"]) assert.include(ofController, `answer of ${call} is a Promise`)
  })

  const fatal: Readonly<Record<string, (throws: () => void) => NodeOptions>> = {
    "scheduler: select": (throws) => ({
      scheduler: () => ({
        name: "wrong",
        select: (context) => {
          throws()
          return lowLatency().select(context)
        }
      })
    }),
    ...Object.fromEntries(
      (["onPacketSent", "onPacketAcked", "onPacketLost"] as const).map((call) => [
        `scheduler: ${call}`,
        (throws: () => void): NodeOptions => ({ scheduler: () => ({ ...lowLatency(), name: "wrong", [call]: throws }) })
      ])
    ),
    ...Object.fromEntries(
      (["onPacketSent", "onAcked", "onCongestion"] as const).map((call) => [
        `controller: ${call}`,
        (throws: () => void): NodeOptions => ({
          congestion: () => {
            const own = cubic()
            return {
              make: (path) => {
                const controller = own.make(path)
                const { [call]: before } = controller
                return Object.assign(controller, {
                  [call]: (...args: ReadonlyArray<never>) => {
                    throws()
                    Reflect.apply(before, controller, args)
                  }
                })
              }
            }
          }
        })
      ])
    )
  }
  for (const [what, node] of Object.entries(fatal)) {
    it(`${what} that throws ends its connection with INTERNAL_ERROR and its cause, and the peer is told; the endpoint goes on`, () => {
      const cause = new Error("out of order")
      let armed = false
      const throws = (): void => {
        if (armed) throw cause
      }
      const pair = connected({ links, client: node(throws) })
      pair.client.defects = true
      pair.run(pair.simulator.now + 300)
      awaitPath(pair, openPath(pair, 1))
      armed = true
      send(pair.connection, pair.accepted, 200_000)
      pair.run(pair.simulator.now + 2000)
      assert.deepStrictEqual(ending(pair.client), { kind: "internal", cause })
      const told = ending(pair.server)
      assert.isTrue(told.kind === "transport" && told.initiator === "peer" && told.code === 1)
      armed = false
      const next = pair.client.connect(pair.server)
      pair.run(pair.simulator.now + 1000)
      assert.isTrue(next.confirmed)
    })
  }
})
