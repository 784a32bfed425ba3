import { assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { vi } from "vitest"
import type * as UdpSocket from "../../src/UdpSocket.ts"
import { makeRandom } from "../crypto/support.ts"
import { Errors, fake, FakeKernel } from "./FakeKernel.ts"
import { bind, loopback, native, pattern, skipped, transmit } from "./support.ts"

vi.mock("../../src/internal/runtime/native/Libc.ts", async (original) => {
  const { withFakeCalls } = await import("./FakeKernel.ts")
  return withFakeCalls(await original())
})

const live = it.live.skipIf(skipped)

/** Makes a socket that sends into a fake kernel from here on. */
const bindFake = Effect.fnUntraced(function* (options?: UdpSocket.BindOptions) {
  const socket = yield* bind(loopback, options)
  const kernel = new FakeKernel()
  fake.kernel = kernel
  return { kernel, socket, to: (port: number) => socket.addresses.intern("127.0.0.1", port) }
})

/** Datagrams that a transmit stands for, as hex. */
const split = (bytes: Uint8Array, segmentSize: number): ReadonlyArray<string> => {
  const step = segmentSize >= 1 && segmentSize < bytes.length ? Math.trunc(segmentSize) : Math.max(bytes.length, 1)
  const parts: Array<string> = []
  for (let at = 0; at === 0 || at < bytes.length; at += step) {
    parts.push(Buffer.from(bytes.subarray(at, at + step)).toString("hex"))
  }
  return parts
}

const total = (errors: Readonly<Record<string, number>>): number =>
  Object.values(errors).reduce((sum, count) => sum + count, 0)

describe("native sockets over a fake kernel", () => {
  beforeEach(() => {
    fake.kernel = undefined
  })

  live("G2: an error of another peer's datagram costs a train nothing, whatever the error queue holds", () =>
    native(
      Effect.gen(function* () {
        const { kernel, socket, to } = yield* bindFake()
        for (const error of [13, 64, 71, 90, 92, 95, 101, 111, 112, 113]) {
          let pending = 2
          kernel.fail = () => (pending-- > 0 ? error : 0)
          kernel.taken.length = 0
          assert.isTrue(socket.send(transmit(socket, to(5), pattern(64 * 100), { segmentSize: 100 })))
          assert.strictEqual(kernel.taken.length, 64, String(error))
        }
        assert.deepStrictEqual(socket.stats.sendErrors, {})
      })
    )
  )

  live("G4: a segment size that is none stands for one datagram, on a full socket too", () =>
    native(
      Effect.gen(function* () {
        const { kernel, socket, to } = yield* bindFake()
        const sizes = [0, -1, NaN, 0.5, -Infinity]
        kernel.fail = () => Errors.EAGAIN
        for (const segmentSize of sizes) {
          for (let i = 0; i < 20; i++) socket.send(transmit(socket, to(5), pattern(60_000), { segmentSize }))
        }
        kernel.fail = () => 0
        yield* socket.writable
        assert.isTrue(kernel.taken.every(({ bytes }) => bytes.length === 2 * 60_000))
        assert.isAbove(kernel.taken.length, 60)
        assert.deepStrictEqual(socket.stats.sendErrors, { EAGAIN: 20 * sizes.length - kernel.taken.length })
      })
    )
  )

  live("G7: what waits is bounded when it is empty or tiny too, and every datagram is counted", () =>
    native(
      Effect.gen(function* () {
        const { kernel, socket, to } = yield* bindFake()
        kernel.fail = () => Errors.EAGAIN
        const count = 20_000
        const [empty, tiny] = [new Uint8Array(0), Uint8Array.of(1)]
        for (let i = 0; i < count; i++) socket.send(transmit(socket, to(5), i % 2 === 0 ? empty : tiny))
        kernel.fail = () => 0
        yield* socket.writable
        assert.strictEqual(kernel.taken.length, socket.stats.datagramsSent)
        assert.strictEqual(socket.stats.datagramsSent + socket.stats.sendErrors["EAGAIN"]!, count)
        // Each takes half a kilobyte of the 4 MB, whatever its length.
        assert.isAtMost(kernel.taken.length, 8192)
        assert.isAbove(kernel.taken.length, 5000)
      })
    )
  )

  live("G5: a listener that sends while the queue is flushed: nothing is lost and nothing leaves twice", () =>
    native(
      Effect.gen(function* () {
        let extra = 0
        let again: (() => void) | undefined
        const { kernel, socket, to } = yield* bindFake({ onSendError: () => again?.() })
        kernel.fail = () => Errors.EAGAIN
        for (let i = 0; i < 5; i++) socket.send(transmit(socket, to(i === 1 ? 7 : 5), Uint8Array.of(i)))
        again = () => socket.send(transmit(socket, to(5), Uint8Array.of(100 + extra++)))
        kernel.fail = ({ port }) => (port === 7 ? Errors.EPERM : 0)
        yield* socket.writable
        assert.strictEqual(extra, 1)
        assert.deepStrictEqual(
          kernel.taken.map(({ bytes }) => parseInt(bytes, 16)),
          [0, 2, 3, 4, 100]
        )
        assert.deepStrictEqual(socket.stats.sendErrors, { EPERM: 1 })
      })
    )
  )

  live(
    "G6: no system call with the descriptor once the socket is closed, by a listener in the middle of a train too",
    () =>
      native(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          let told = 0
          const { kernel, socket, to } = yield* Scope.provide(
            bindFake({
              onSendError: () => {
                if (told++ === 0) Effect.runFork(Scope.close(scope, Exit.void))
              }
            }),
            scope
          )
          kernel.fail = ({ train }) => (train ? Errors.EINVAL : kernel.taken.length === 3 ? Errors.EPERM : 0)
          socket.send(transmit(socket, to(5), pattern(1000), { segmentSize: 100 }))
          // What the listener did not see half done is all done.
          assert.strictEqual(kernel.taken.length + total(socket.stats.sendErrors), 10)
          yield* Effect.flip(socket.pull)
          const { calls } = kernel
          socket.send(transmit(socket, to(5), pattern(1000), { segmentSize: 100 }))
          yield* socket.writable
          assert.strictEqual(kernel.calls, calls)
          assert.strictEqual(socket.stats.sendErrors["ERR_SOCKET_DGRAM_NOT_RUNNING"], 10)
        })
      )
  )

  live("a listener that throws harms neither the socket nor the other errors", () =>
    native(
      Effect.gen(function* () {
        const codes: Array<string> = []
        const thrown: Array<unknown> = []
        const uncaught = (cause: unknown): void => void thrown.push(cause)
        const others = process.rawListeners("uncaughtException") as Array<NodeJS.UncaughtExceptionListener>
        process.removeAllListeners("uncaughtException").on("uncaughtException", uncaught)
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            process.removeAllListeners("uncaughtException")
            for (const listener of others) process.on("uncaughtException", listener)
          })
        )
        const { kernel, socket, to } = yield* bindFake({
          onSendError: ({ code }) => {
            codes.push(code)
            throw new Error("not mine")
          }
        })
        kernel.fail = ({ port }) => (port === 7 ? Errors.EPERM : 0)
        assert.isTrue(socket.send(transmit(socket, to(7), pattern(3), { segmentSize: 1 })))
        assert.isTrue(socket.send(transmit(socket, to(5), pattern(3), { segmentSize: 1 })))
        yield* Effect.sleep(1)
        assert.deepStrictEqual([codes.length, thrown.length, kernel.taken.length], [3, 3, 3])
      })
    )
  )

  live("a listener whose own sends fail does not go on for ever", () =>
    native(
      Effect.gen(function* () {
        let told = 0
        const { kernel, socket, to } = yield* bindFake({
          onSendError: () => {
            told++
            socket.send(transmit(socket, to(7), Uint8Array.of(1)))
          }
        })
        kernel.fail = () => Errors.EPERM
        socket.send(transmit(socket, to(7), Uint8Array.of(1)))
        assert.isAtMost(told, 1024)
        assert.strictEqual(socket.stats.sendErrors["EPERM"], told + 1)
      })
    )
  )

  live("G9: a destination whose trains cannot be cut costs the others nothing, and is asked again", () =>
    native(
      Effect.gen(function* () {
        const { kernel, socket, to } = yield* bindFake()
        let refused = 0
        kernel.fail = ({ port, train }) => {
          if (port !== 7 || !train || refused === 2) return 0
          refused++
          return Errors.EIO
        }
        const send = (port: number): number => {
          const { calls } = kernel
          socket.send(transmit(socket, to(port), pattern(200), { segmentSize: 100 }))
          return kernel.calls - calls
        }
        assert.deepStrictEqual([send(7), send(7), send(5)], [2, 1, 1])
        assert.strictEqual(refused, 1)
        for (let i = 0; i < 2100; i++) send(7)
        assert.strictEqual(refused, 2)
        assert.strictEqual(kernel.taken.length, 2103 * 2)
        assert.deepStrictEqual(socket.stats.sendErrors, {})
      })
    )
  )

  it.effect.skipIf(skipped)("G9: what the kernel does not take before the end is counted and told", () =>
    native(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const codes: Array<string> = []
        const { kernel, socket, to } = yield* Scope.provide(
          bindFake({ onSendError: ({ code }) => codes.push(code) }),
          scope
        )
        kernel.fail = () => Errors.EAGAIN
        socket.send(transmit(socket, to(5), pattern(1000), { segmentSize: 300 }))
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* TestClock.adjust(1000)
        yield* Fiber.join(closing)
        assert.deepStrictEqual(socket.stats.sendErrors, { EAGAIN: 4 })
        assert.deepStrictEqual(codes, ["EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN"])
      })
    )
  )

  const seeds = Array.from({ length: 12 }, (_, i) => 1000 + i)
  for (const seed of seeds) {
    live(`refused, interrupted, partial and full sends: every datagram once, in order, or counted (seed ${seed})`, () =>
      native(
        Effect.gen(function* () {
          const random = makeRandom(seed)
          const submitted: Array<string> = []
          let told = 0
          let sendsOfListener = 0
          const submit = (): void => {
            const length = [0, 1, random(50), random(3000), random(40_000)][random(5)]!
            const bytes = Uint8Array.from({ length }, () => random(256))
            const segmentSize = [1200, 100.7, 0, NaN, 1 + random(2000), length, 2 ** 40][random(7)]!
            submitted.push(...split(bytes, segmentSize))
            socket.send(transmit(socket, to(5 + random(4)), bytes, { segmentSize, ecn: random(4) }))
            // The bytes are the caller's again.
            bytes.fill(0xee)
          }
          const made = yield* bindFake({
            onSendError: () => {
              told++
              if (random(20) === 0 && sendsOfListener++ < 50) submit()
            }
          })
          const { kernel, socket, to } = made
          let full = false
          let pending = 0
          kernel.fail = ({ port, train }) => {
            if (pending > 0) {
              pending--
              return [111, 113, 101, 13][random(4)]!
            }
            if (random(30) === 0) full = !full
            if (full) return Errors.EAGAIN
            if (random(20) === 0) return Errors.EINTR
            if (random(25) === 0) return Errors.EPERM
            if (train && port === 6) return Errors.EIO
            if (train && random(10) === 0) return [Errors.EINVAL, Errors.EMSGSIZE][random(2)]!
            return 0
          }
          for (let step = 0; step < 150; step++) {
            if (random(5) === 0) pending = random(3)
            submit()
          }
          const busy = kernel.fail
          kernel.fail = (call) => {
            full = false
            return random(3) === 0 ? busy(call) : 0
          }
          yield* socket.writable
          const { datagramsSent, sendErrors } = socket.stats
          assert.strictEqual(kernel.descriptors.size, 1)
          assert.strictEqual(kernel.taken.length, datagramsSent)
          assert.strictEqual(datagramsSent + total(sendErrors), submitted.length)
          assert.strictEqual(told, total(sendErrors))
          let at = 0
          for (const { bytes } of kernel.taken) {
            while (at < submitted.length && submitted[at] !== bytes) at++
            assert.isBelow(at++, submitted.length, "left out of order, twice, or changed")
          }
          assert.isAbove(datagramsSent, submitted.length / 2)
        })
      )
    )
  }
})
