import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Socket } from "node:dgram"
import { setImmediate } from "node:timers/promises"
import { bind, native, skipped, transmit } from "./support.ts"

const load = Effect.promise(() =>
  Promise.all([
    import("../../src/internal/runtime/native/Readiness.ts"),
    import("../../src/internal/runtime/native/SocketSetup.ts")
  ])
)

const buffers = { receive: 65_536, send: 65_536 }

/** Turns of the event loop, each of which asks the system what there is. */
const turns = Effect.promise(async () => {
  for (let i = 0; i < 10; i++) await setImmediate()
})

describe("when a native socket has datagrams", () => {
  const ways: Record<string, (socket: Socket) => Socket> = {
    "by the callback of Node's handle": (socket) => socket,
    "by the error event, where Node's handle is out of reach": (socket) => new Proxy(socket, { ownKeys: () => [] })
  }
  for (const [way, seen] of Object.entries(ways)) {
    it.live.skipIf(skipped)(`it is told ${way}, on every turn until it is paused, and never after its end`, () =>
      native(
        Effect.gen(function* () {
          const [{ Readiness }, { openSocket }] = yield* load
          const { fd, port, socket } = openSocket("127.0.0.1", 0, buffers)
          yield* Effect.addFinalizer(() => Effect.sync(() => socket.close()))
          let told = 0
          let whole = true
          const readiness = Readiness.take(seen(socket), fd, () => {
            told++
            // Nothing is read by anybody but the owner of the descriptor.
            whole = whole && socket.getRecvBufferSize() > 0
          })
          assert.isDefined(readiness)
          yield* turns
          assert.strictEqual(told, 0)
          const sender = yield* bind()
          sender.send(transmit(sender, sender.addresses.intern("127.0.0.1", port), Uint8Array.of(1)))
          yield* turns
          assert.isAbove(told, 1)
          readiness!.pause()
          const paused = told
          yield* turns
          assert.strictEqual(told, paused)
          readiness!.resume()
          yield* turns
          assert.isAbove(told, paused)
          readiness!.end()
          const ended = told
          readiness!.resume()
          yield* turns
          assert.strictEqual(told, ended)
          assert.isTrue(whole)
        })
      )
    )
  }

  it.live.skipIf(skipped)("G3: a descriptor that libuv does not have is nobody's handle", () =>
    native(
      Effect.gen(function* () {
        const [{ Readiness }, { openSocket }] = yield* load
        const { socket } = openSocket("127.0.0.1", 0, buffers)
        yield* Effect.addFinalizer(() => Effect.sync(() => socket.close()))
        assert.isUndefined(Readiness.take(socket, 1_000_000, () => {}))
      })
    )
  )
})
