/**
 * Two relays to one address, each with a rate of its own per direction, in one process: for paths of known width.
 *
 *     node bench/relay.ts --addr IP:PORT --mbps 200
 *
 * It uses the best lane that there is, whatever the programs beside it use. Prints the addresses of both, parted by a space, and
 * runs until its standard input is closed.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { UdpSocket } from "../src/index.ts"
import * as UdpRelay from "../src/testing/UdpRelay.ts"
import { stdinClosed } from "./contract.ts"

const { values } = parseArgs({
  options: {
    addr: { type: "string", default: "127.0.0.1:4433" },
    mbps: { type: "string", default: "200" }
  }
})
const [host, port] = values.addr.split(":")

Effect.gen(function* () {
  const relays = yield* Effect.forEach([0, 1], () =>
    UdpRelay.make({
      listen: { host: "127.0.0.1", port: 0 },
      target: { host: host!, port: Number(port) },
      mbps: Number(values.mbps),
      queue: 1000
    })
  )
  console.log(relays.map((relay) => relay.address.toString()).join(" "))
  yield* Effect.promise(stdinClosed)
}).pipe(Effect.scoped, Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
