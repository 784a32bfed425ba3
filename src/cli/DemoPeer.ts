/**
 * The two peers of the demonstration, each a process: the file server of `serve`, and a client that fetches as `get` does.
 */
import { Context, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import * as Endpoint from "../Endpoint.ts"
import * as Tls from "../Tls.ts"
import * as UdpSocket from "../UdpSocket.ts"
import { boss, PEER_COMMAND } from "./DemoMessages.ts"
import type { Boss, Order } from "./DemoMessages.ts"
import { openPaths } from "./Download.ts"
import { fail, fromQuic } from "./Failure.ts"
import * as FileServer from "./FileServer.ts"
import { writeWhole } from "./Files.ts"
import { ALPN, request } from "./Http09.ts"
import { layerPolicies } from "./Options.ts"
import { layerSelfSigned } from "./Serve.ts"
import { keepLedger, makeMeter } from "./Transfer.ts"
import type { PathLedger } from "./Transfer.ts"

type OrderOf<Tag extends Order["type"]> = Extract<Order, { readonly type: Tag }>

/** A dead path is noticed long before; this is for when both are. */
const IDLE_TIMEOUT = "10 seconds"

/** ms between messages about progress. */
const PROGRESS = 100

const beServer = Effect.fnUntraced(function* (order: OrderOf<"Serve">, channel: Boss) {
  let ledger: PathLedger | undefined
  const context = yield* Layer.build(
    FileServer.layer({
      root: order.root,
      listen: ["127.0.0.1:0"],
      idleTimeout: IDLE_TIMEOUT,
      onConnection: (connection) =>
        Effect.scoped(
          Effect.gen(function* () {
            ledger = yield* keepLedger(connection)
            yield* connection.closed
          })
        )
    }).pipe(Layer.provideMerge(layerSelfSigned), Layer.provide(layerPolicies(order)))
  ).pipe(Effect.mapError(fromQuic))
  const endpoint = Context.get(context, Endpoint.Endpoint)
  const pin = Context.get(context, Tls.SelfSigned).fingerprint
  yield* channel.tell({ type: "Listening", port: endpoint.addresses[0]!.port, pin })
  return yield* channel.next.pipe(
    Effect.flatMap((next) =>
      next.type === "Report" ? channel.tell({ type: "Report", paths: ledger?.read() ?? [] }) : Effect.void
    ),
    Effect.forever
  )
})

const beClient = Effect.fnUntraced(function* (order: OrderOf<"Get">, channel: Boss) {
  const [first, ...further] = order.paths
  const meter = yield* makeMeter
  const transfer = Effect.gen(function* () {
    const connection = yield* Endpoint.connect({ ...first!.remote, alpn: ALPN, local: first!.local }).pipe(
      Effect.mapError(fromQuic)
    )
    const ledger = yield* keepLedger(connection)
    const progress = Effect.suspend(() => channel.tell({ type: "Progress", bytes: meter.bytes, paths: ledger.read() }))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(progress, Effect.sleep(PROGRESS))))
    yield* Effect.forkScoped(openPaths(connection, further, (message) => channel.tell({ type: "Trouble", message })))
    const { bytes, sha256 } = yield* writeWhole(order.file, request(connection, order.path), meter.add)
    return { bytes, sha256, seconds: meter.seconds, stallMs: meter.longestGap, paths: ledger.read() }
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.mergeAll(
        Endpoint.layer({ multipath: { maxPaths: 4 }, idleTimeout: IDLE_TIMEOUT }),
        Tls.layerTrustPinned(order.pin),
        layerPolicies(order)
      ).pipe(Layer.provide(UdpSocket.layer))
    ),
    Effect.catchTag("QuicError", (error) => Effect.fail(fromQuic(error)))
  )
  const cuts = channel.next.pipe(
    Effect.map((next) => {
      if (next.type === "Cut") meter.forgetGaps()
    }),
    Effect.forever
  )
  const done = yield* Effect.raceFirst(transfer, cuts)
  yield* channel.tell({ type: "Done", ...done })
  // Until the demonstration lets go of it: what is said last must get through.
  return yield* Effect.forever(channel.next)
})

const play = Effect.fnUntraced(function* (channel: Boss) {
  yield* channel.tell({ type: "Ready" })
  const order = yield* channel.next
  if (order.type === "Serve") return yield* beServer(order, channel)
  if (order.type === "Get") return yield* beClient(order, channel)
  return yield* fail("usage", "the first order must be to serve or to get")
})

const run = Effect.gen(function* () {
  const channel = yield* boss
  return yield* Effect.tapError(play(channel), (failure) => channel.tell({ type: "Failed", message: failure.message }))
}).pipe(Effect.scoped)

export const demoPeer = Command.make(PEER_COMMAND, {}, () => run).pipe(Command.unlisted)
