/** What the tools for tests refuse: by field and range, thrown at once or as a defect where there is no error. */
import { assert, describe } from "@effect/vitest"
import { Cause, Effect, Layer } from "effect"
import { UdpSocket } from "../../src/index.ts"
import * as SeededRandom from "../../src/testing/SeededRandom.ts"
import * as SimulatedNetwork from "../../src/testing/SimulatedNetwork.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"
import * as UdpRelay from "../../src/testing/UdpRelay.ts"
import { scenario } from "../shell/support.ts"
import { faultsOf, nobody, notText, numbers, operation } from "../support/Refusals.ts"
import type { Operation, Row, Target } from "../support/Refusals.ts"

const relay = (options: object) =>
  Effect.provide(
    UdpRelay.make({
      listen: { host: "127.0.0.1", port: 0 },
      target: { host: "127.0.0.1", port: 1 },
      ...options
    }),
    UdpSocket.layerNode
  )
/** What throws, or is a defect, as a failure. */
const thrown = (run: () => unknown) => Effect.try({ try: run, catch: (error) => error })
const dying = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.catchCause(effect, (cause) => Effect.fail(Cause.squash(cause)))
const simulatedNetwork = (options: object) => dying(Effect.suspend(() => SimulatedNetwork.make(options)))

/** Options of links: in one direction and in both, of one link, of the whole network, and of a relay. */
const linkRow = (
  option: string,
  wrong: Record<string, unknown>,
  right: ReadonlyArray<string> = []
): ReadonlyArray<Row> => {
  const last = option.split(".").at(-1)!
  const of = (value: unknown) =>
    option.startsWith("burstLoss.") ? { burstLoss: { enter: 0.1, leave: 0.1, [last]: value } } : { [option]: value }
  const places: ReadonlyArray<readonly [string, string, (options: object, target: Target) => ReturnType<Operation>]> = [
    ["network.link", "", (options, { world }) => thrown(() => world.network.link("10.7.0.1", "10.7.0.2", options))],
    ["network.makeLink", "", (options, { world }) => thrown(() => world.network.makeLink(options))],
    ["link.set", "", (options, { world }) => thrown(() => world.network.makeLink().set(options))],
    [
      "forward of link.set",
      "forward.",
      (forward, { world }) => thrown(() => world.network.makeLink().set({ forward }))
    ],
    ["backward of a link", "backward.", (backward, { world }) => thrown(() => world.network.makeLink({ backward }))],
    ["SimulatedNetwork.make", "link.", (link) => simulatedNetwork({ link })],
    ["UdpRelay.make", "", (options) => relay(options)],
    ["backward of UdpRelay.make", "backward.", (backward) => relay({ backward })],
    ["relay.set", "", (options) => Effect.flatMap(relay({}), (made) => thrown(() => made.set(options)))]
  ]
  return places.map(([place, parent, run]): Row => [
    `${place} ${option}`,
    `${parent}${option} is`,
    wrong,
    operation((value, target) => run(of(value), target)),
    right
  ])
}

const wrongTimes = { ...numbers, "for ever": "Infinity", noUnit: "10" }
const wrongHosts = { ...numbers, name: "server", port: "10.0.0.1:1", empty: "", none: undefined }

const testing: ReadonlyArray<Row> = [
  ...["loss", "reorder", "corrupt", "duplicate", "burstLoss.enter", "burstLoss.leave", "burstLoss.loss"].flatMap(
    (name) => linkRow(name, numbers)
  ),
  ...["delay", "jitter", "scatter", "reorderDelay"].flatMap((name) =>
    linkRow(name, wrongTimes, ["1.5", "2^53", "2^62", "bigint"])
  ),
  ...["mbps", "queue", "queueBytes", "ecnMark", "mtu"].flatMap((name) =>
    linkRow(name, numbers, ["1.5", "2^53", "2^62", "Infinity"])
  ),
  ...linkRow("mbps", { zero: 0 }),
  ...linkRow("up", numbers),
  [
    "burstLoss",
    "burstLoss",
    { ...notText, none: {} },
    operation((burstLoss, { world }) => thrown(() => world.network.makeLink({ burstLoss }))),
    []
  ],
  [
    "link options",
    "options",
    notText,
    operation((options, { world }) => thrown(() => world.network.makeLink(options))),
    ["object", "thrower"]
  ],
  [
    "forward",
    "forward",
    notText,
    operation((forward, { world }) => thrown(() => world.network.makeLink({ forward }))),
    ["object", "thrower"]
  ],
  [
    "outage",
    "duration",
    { ...wrongTimes, none: undefined },
    operation((duration, { world }) => thrown(() => world.network.makeLink().outage(duration))),
    ["1.5", "2^53", "2^62", "bigint"]
  ],
  ["link a", "a", wrongHosts, operation((a, { world }) => thrown(() => world.network.link(a, "10.7.0.2"))), ["array"]],
  [
    "link b",
    "b[1]",
    wrongHosts,
    operation((b, { world }) => thrown(() => world.network.link("10.7.0.1", ["10.7.0.2", b])))
  ],
  [
    "route a",
    "a",
    wrongHosts,
    operation((a, { world }) => thrown(() => world.network.route(a, "10.7.0.2", []))),
    ["array"]
  ],
  [
    "route links",
    "links",
    numbers,
    operation((links, { world }) => thrown(() => world.network.route("10.7.0.1", "10.7.0.2", links))),
    ["array"]
  ],
  [
    "route links [0]",
    "links[0]",
    numbers,
    operation((link, { world }) => thrown(() => world.network.route("10.7.0.1", "10.7.0.2", [link])))
  ],
  ["host name", "name", notText, operation((name, { world }) => thrown(() => world.network.host(name, [])))],
  [
    "host addresses",
    "addresses",
    { ...notText, text: "10.7.0.1" },
    operation((addresses, { world }) => thrown(() => world.network.host("x", addresses))),
    ["array"]
  ],
  [
    "host addresses [0]",
    "addresses[0]",
    { ...wrongHosts, prefix: "10.7.*" },
    operation((address, { world }) => thrown(() => world.network.host("x", [address])))
  ],
  [
    "layerHost",
    "addresses",
    notText,
    operation((addresses, { world }) =>
      dying(
        Layer.build(SimulatedNetwork.layerHost("x", addresses)).pipe(
          Effect.provideService(SimulatedNetwork.SimulatedNetwork, world.network)
        )
      )
    ),
    ["array"]
  ],
  [
    "nat outside",
    "outside",
    wrongHosts,
    operation((outside, { world }) => thrown(() => world.network.nat({ outside, inside: ["10.7.0.1"] })))
  ],
  [
    "nat inside",
    "inside",
    wrongHosts,
    operation((inside, { world }) => thrown(() => world.network.nat({ outside: "10.8.0.1", inside }))),
    ["array"]
  ],
  [
    "nat idle",
    "idle",
    { ...numbers, noUnit: "10" },
    operation((idle, { world }) => thrown(() => world.network.nat({ outside: "10.8.0.1", inside: [], idle }))),
    ["1.5", "2^53", "2^62", "bigint", "Infinity"]
  ],
  [
    "nat open",
    "open",
    numbers,
    operation((open, { world }) => thrown(() => world.network.nat({ outside: "10.8.0.1", inside: [], open })))
  ],
  [
    "nat",
    "options",
    notText,
    operation((options, { world }) => thrown(() => world.network.nat(options))),
    ["object", "thrower"]
  ],
  [
    "rebind",
    "outside",
    { ...numbers, name: "server" },
    operation((outside, { world }) =>
      thrown(() => world.network.nat({ outside: "10.8.0.1", inside: [] }).rebind(outside))
    )
  ],
  ["network seed", "seed", numbers, operation((seed) => simulatedNetwork({ seed })), ["-1"]],
  ["network trace", "trace", numbers, operation((trace) => simulatedNetwork({ trace }))],
  ["network options", "options", notText, operation((options) => simulatedNetwork(options)), ["object", "thrower"]],
  [
    "layerWorld seed",
    "seed",
    numbers,
    operation((seed) => dying(Layer.build(SimulatedNetwork.layerWorld({ seed })))),
    ["-1"]
  ],
  [
    "run limit",
    "limit",
    { ...wrongTimes, zero: 0 },
    operation((limit) => dying(SimulatedNetwork.run(Effect.void, { limit }))),
    ["1.5", "2^53", "2^62", "bigint"]
  ],
  [
    "run options",
    "options",
    notText,
    operation((options) => dying(SimulatedNetwork.run(Effect.void, options))),
    ["object", "thrower"]
  ],
  ["run effect", "effect", notText, operation((effect) => dying(SimulatedNetwork.run(effect)))],
  [
    "SeededRandom.make",
    "seed",
    { ...numbers, none: undefined },
    operation((seed) => thrown(() => SeededRandom.make(seed))),
    ["-1"]
  ],
  [
    "SeededRandom.layer",
    "seed",
    { ...numbers, none: undefined },
    operation((seed) => dying(Layer.build(SeededRandom.layer(seed)))),
    ["-1"]
  ],
  [
    "issue seed",
    "seed",
    { ...numbers, none: undefined, large: 256 },
    operation((seed) => thrown(() => TestCertificates.issue({ seed, subject: "x", names: [] })))
  ],
  [
    "issue subject",
    "subject",
    notText,
    operation((subject) => thrown(() => TestCertificates.issue({ seed: 1, subject, names: [] })))
  ],
  [
    "issue names",
    "names",
    { ...notText, text: "x" },
    operation((names) => thrown(() => TestCertificates.issue({ seed: 1, subject: "x", names }))),
    ["array"]
  ],
  [
    "issue names [0]",
    "names[0]",
    notText,
    operation((name) => thrown(() => TestCertificates.issue({ seed: 1, subject: "x", names: [name] })))
  ],
  ["UdpRelay seed", "seed", numbers, operation((seed) => relay({ seed })), ["-1"]],
  ["UdpRelay from", "from", { ...numbers, name: "server" }, operation((from) => relay({ from }))],
  ["UdpRelay listen", "listen is", notText, operation((listen) => relay({ listen })), ["object", "thrower"]],
  [
    "UdpRelay options",
    "options",
    notText,
    operation((options) => Effect.provide(UdpRelay.make(options), UdpSocket.layerNode)),
    ["object", "thrower"]
  ],
  ["UdpRelay maxClients", "maxClients", numbers, operation((maxClients) => relay({ maxClients }))],
  ["UdpRelay target", "target.port is", numbers, operation((port) => relay({ target: { host: "127.0.0.1", port } }))],
  ["UdpRelay target of nobody", "target", nobody, operation((host) => relay({ target: { host, port: 9 } }))]
]

describe("issue 7: the tools for tests", () => {
  scenario("issue 7: every option of simulated networks, relays, seeds and certificates is checked", (world) =>
    Effect.gen(function* () {
      const { client } = yield* world.pair()
      const stream = yield* client.openStream()
      const target: Target = { world, connection: client, stream, path: client.path(0)! }
      assert.deepStrictEqual(yield* faultsOf(testing, target), [])
      assert.isAbove(testing.length, 150)
    })
  )
})
