/**
 * Local addresses that come and go: a laptop is docked and undocked in the middle of an upload. `layerControlled` is the list
 * that the program changes by hand; `LocalAddresses.layerInterfaces()` in its place follows the interfaces of the host. Simulated
 * time: the same in every run.
 *
 *     node examples/local-addresses.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { NetAddress } from "effect/net"
import { Endpoint, LocalAddresses, PathManager } from "../src/index.ts"
import type { Connection } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"

const WIFI = "192.168.1.10"
const CABLE = "10.0.0.2"
const multipath = { maxPaths: 4 }

const open = (connection: Connection.Connection): string =>
  connection.paths
    .filter(({ state }) => state === "active")
    .map(({ local }) => NetAddress.formatHost(local))
    .join(" and ")

const program = Effect.gen(function* () {
  const network = yield* SimulatedNetwork.SimulatedNetwork
  const laptop = network.host("laptop", [WIFI, CABLE])
  const server = network.host("server", ["203.0.113.1"])
  network.link(WIFI, "203.0.113.1", { mbps: 20, delay: 10, queue: 100 })
  network.link(CABLE, "203.0.113.1", { mbps: 100, delay: 5, queue: 100 })

  const ServerLive = Endpoint.serveStreams((stream) =>
    Effect.andThen(
      Stream.runFold(
        stream.readable,
        () => 0,
        (sum, bytes) => sum + bytes.length
      ),
      (sum) => stream.end(String(sum))
    )
  ).pipe(
    Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "upload", multipath })),
    Layer.provide(server.udpSocket)
  )
  const ClientLive = Layer.mergeAll(
    Endpoint.layer({ multipath }).pipe(Layer.provide(laptop.udpSocket)),
    PathManager.layerAuto(),
    LocalAddresses.layerControlled([WIFI])
  )

  yield* Effect.gen(function* () {
    const addresses = yield* LocalAddresses.Controlled
    const connection = yield* Endpoint.connect({
      host: "203.0.113.1",
      port: 4433,
      serverName: "server.test",
      alpn: "upload",
      local: WIFI
    })
    const stream = yield* connection.openStream()
    yield* Effect.forkScoped(stream.end(new Uint8Array(20_000_000)))

    yield* Effect.sleep("500 millis")
    yield* Console.log(`at first: ${open(connection)}`)
    yield* addresses.add(CABLE)
    yield* Effect.sleep("500 millis")
    yield* Console.log(`docked: ${open(connection)}`)
    yield* addresses.remove(CABLE)
    yield* Effect.sleep("500 millis")
    yield* Console.log(`undocked: ${open(connection)}`)
    yield* addresses.set([CABLE])
    yield* Effect.sleep("500 millis")
    yield* Console.log(`wifi off, docked: ${open(connection)}`)
    yield* Console.log(`the server got ${yield* stream.text} bytes`)
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(ServerLive, ClientLive)))
})

SimulatedNetwork.run(program, { seed: 7 }).pipe(NodeRuntime.runMain)
