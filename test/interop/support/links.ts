/** Cases over links that lose, damage and move: a relay stands between the peer and us. */
import { Effect } from "effect"
import * as UdpRelay from "../../../src/testing/UdpRelay.ts"
import { layerNode } from "../../../src/UdpSocket.ts"
import type { Credentials } from "./credentials.ts"
import * as Ours from "./ours.ts"
import { expect, same } from "./runner.ts"
import type { Case } from "./runner.ts"
import { listening } from "./standard.ts"
import type { Program } from "./standard.ts"

const MB = 1024 * 1024

/** A relay to a port of this machine. */
export const relay = (port: number, link: UdpRelay.DuplexOptions) =>
  UdpRelay.make({
    listen: { host: "127.0.0.1", port: 0 },
    target: { host: "127.0.0.1", port },
    maxClients: 1000,
    ...link
  }).pipe(Effect.provide(layerNode))

const link = { mbps: 50, delay: 5, queue: 200 }

/** In bursts of up to about three, as networks do. */
const losing = { ...link, burstLoss: { enter: 0.013, leave: 0.65 } }

const damaging = { ...link, corrupt: 0.02 }

/** Handshakes over a link that loses nearly every third packet. */
const HANDSHAKES = 10
const badly = { mbps: 50, delay: 5, loss: 0.3 }
const patient = { handshakeTimeout: "60 seconds" } as const

/** `moves`: how often the peer's server follows a client whose address changes. */
export const linkCases = (
  program: Program,
  credentials: Credentials,
  abilities: { readonly moves: 1 | 2 }
): ReadonlyArray<Case> => {
  const asClient = (name: string, options: UdpRelay.DuplexOptions, verb: string): Case => ({
    name: `client, ${name}`,
    run: Effect.gen(function* () {
      const ours = yield* Ours.serve({ credentials, ...program.settings })
      const between = yield* relay(ours.port, options)
      const peer = yield* program.client(between.address.port, verb, 2 * MB)
      yield* same((yield* peer.event("done"))["ok"], true, "transfer")
    })
  })

  const asServer = (name: string, options: UdpRelay.DuplexOptions, transfer: typeof Ours.get): Case => ({
    name: `server, ${name}`,
    run: Effect.gen(function* () {
      const { port } = yield* listening(program.server())
      const between = yield* relay(port, options)
      const connection = yield* Ours.connect({
        credentials,
        port: between.address.port,
        ...program.settings,
        ...patient
      })
      yield* transfer(connection, 2 * MB)
    })
  })

  const follows: Case = {
    name: abilities.moves === 1 ? "server, it follows us to another port" : "server, it follows us to two other ports",
    run: Effect.gen(function* () {
      const { port } = yield* listening(program.server())
      const between = yield* relay(port, { mbps: 50, delay: 5 })
      const connection = yield* Ours.connect({ credentials, port: between.address.port, ...program.settings })
      yield* Ours.put(connection, MB)
      yield* between.rebind
      yield* Ours.put(connection, MB)
      const moves = Effect.andThen(Effect.sleep("200 millis"), abilities.moves === 2 ? between.rebind : Effect.void)
      yield* Effect.all([Ours.put(connection, 5 * MB), moves], { concurrency: 2 })
      yield* Ours.get(connection, MB)
    })
  }

  return [
    asClient("receives 2 MB, 2 % lost", losing, "get"),
    asClient("sends 2 MB, 2 % lost", losing, "put"),
    asClient("receives 2 MB, 2 % damaged", damaging, "get"),
    asClient("sends 2 MB, 2 % damaged", damaging, "put"),
    asServer("sends 2 MB, 2 % lost", losing, Ours.get),
    asServer("receives 2 MB, 2 % lost", losing, Ours.put),
    asServer("sends 2 MB, 2 % damaged", damaging, Ours.get),
    asServer("receives 2 MB, 2 % damaged", damaging, Ours.put),
    {
      name: "client, its port changes twice (NAT rebinding)",
      run: Effect.gen(function* () {
        const ours = yield* Ours.serve({ credentials, ...program.settings })
        const between = yield* relay(ours.port, { mbps: 50, delay: 5 })
        const peer = yield* program.client(between.address.port, "get", 5 * MB)
        const connection = yield* ours.next
        for (let i = 0; i < 2; i++) {
          const before = connection.remote.port
          yield* Effect.sleep("200 millis")
          yield* between.rebind
          yield* Effect.sleep("100 millis")
          yield* expect(connection.remote.port !== before, `still sending to port ${before}`)
        }
        yield* same((yield* peer.event("done"))["ok"], true, "transfer")
      })
    },
    follows,
    {
      name: `client, ${HANDSHAKES} handshakes, 30 % lost`,
      limit: "2 minutes",
      run: Effect.gen(function* () {
        const ours = yield* Ours.serve({ credentials, ...program.settings, ...patient })
        const between = yield* relay(ours.port, badly)
        const one = Effect.scoped(
          Effect.flatMap(program.client(between.address.port, "get", 1000), (peer) => peer.event("done"))
        )
        yield* Effect.forEach(Array.from({ length: HANDSHAKES }), () => one, { concurrency: 2, discard: true })
      })
    },
    {
      name: `server, ${HANDSHAKES} handshakes, 30 % lost`,
      limit: "2 minutes",
      run: Effect.gen(function* () {
        const { port } = yield* listening(program.server())
        const between = yield* relay(port, badly)
        const one = Effect.scoped(
          Effect.flatMap(
            Ours.connect({ credentials, port: between.address.port, ...program.settings, ...patient }),
            (connection) => Ours.get(connection, 1000)
          )
        )
        yield* Effect.forEach(Array.from({ length: HANDSHAKES }), () => one, { concurrency: 2, discard: true })
      })
    }
  ]
}
