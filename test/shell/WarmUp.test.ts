import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { UdpSocket, WarmUp } from "../../src/index.ts"
import { reasonOf } from "./support.ts"

/** The portable sockets, and how many of them are open. */
const counted = () => {
  const sockets = { opened: 0, open: 0, sent: 0 }
  const layer = Layer.effect(
    UdpSocket.UdpSocket,
    Effect.map(UdpSocket.UdpSocket, (udp) => ({
      ...udp,
      bind: (...args: Parameters<typeof udp.bind>) =>
        Effect.tap(udp.bind(...args), (socket) => {
          sockets.opened++
          sockets.open++
          return Effect.addFinalizer(() =>
            Effect.sync(() => {
              sockets.open--
              sockets.sent += socket.stats.bytesSent
            })
          )
        })
    }))
  ).pipe(Layer.provide(UdpSocket.layerNode))
  return { sockets, layer }
}

describe("WarmUp", () => {
  it.live("sends what it was told to over loopback, and leaves no socket behind", () =>
    Effect.gen(function* () {
      const { layer, sockets } = counted()
      yield* WarmUp.run({ megabytes: 1, handshakes: 3, lane: "portable" }).pipe(Effect.provide(layer))
      assert.isAtLeast(sockets.opened, 2)
      assert.strictEqual(sockets.open, 0)
      // Both ways, and what protocol is around it.
      assert.isAbove(sockets.sent, 2e6)
      assert.isBelow(sockets.sent, 4e6)
    })
  )

  it.live("can be interrupted", () =>
    Effect.gen(function* () {
      const { layer, sockets } = counted()
      const fiber = yield* Effect.forkChild(WarmUp.run({ megabytes: 1000 }).pipe(Effect.provide(layer)))
      while (sockets.open === 0) yield* Effect.sleep(5)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(sockets.open, 0)
    })
  )

  it.live("is done when its Layer is built, and refuses what makes no sense", () =>
    Effect.gen(function* () {
      yield* Effect.void.pipe(Effect.provide(WarmUp.layer({ megabytes: 0, handshakes: 1 })))
      for (const options of [{ megabytes: -1 }, { megabytes: 0.5 }, { handshakes: 0 }, { handshakes: Infinity }]) {
        assert.strictEqual(reasonOf(yield* Effect.exit(WarmUp.run(options))), "BadConfig")
      }
    }).pipe(Effect.provide(UdpSocket.layerNode))
  )
})
