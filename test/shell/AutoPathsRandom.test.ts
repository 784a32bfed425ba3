/** Addresses come and go at random, by a seed that the name tells, while data goes both ways. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { NetAddress } from "effect/net"
import { PathManager } from "../../src/index.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import { scenario } from "./support.ts"

const ALL = ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1"]
const LIMIT = 3
const CHUNK = 20_000

describe("layerAuto, whatever comes and goes", () => {
  for (let seed = 1; seed <= 3; seed++) {
    scenario(
      `everything arrives, no path too many, none on a dead address (seed ${seed})`,
      (world) =>
        Effect.gen(function* () {
          const random = new Prng(seed)
          world.host.setAddresses(ALL.slice(0, 2))
          const { client, server } = yield* world
            .pair()
            .pipe(Effect.provide(PathManager.layerAuto({ retryAfter: "200 millis", maxRetryAfter: "2 seconds" })))
          const open = () => client.paths.filter(({ state }) => state !== "closing" && state !== "closed")
          const sending = { on: true }
          const check = (): void => {
            const pairs = open().map(({ local, remote }) => `${NetAddress.formatHost(local)} ${String(remote)}`)
            assert.isAtMost(pairs.length, LIMIT)
            assert.strictEqual(new Set(pairs).size, pairs.length, pairs.join())
          }
          yield* Effect.forkScoped(Stream.runForEach(client.events, () => Effect.sync(check)))
          const sender = yield* Effect.forkScoped(
            Effect.gen(function* () {
              const stream = yield* client.openStream()
              let bytes = 0
              while (sending.on) {
                yield* stream.write(new Uint8Array(CHUNK).fill(bytes / CHUNK))
                bytes += CHUNK
                yield* Effect.sleep("30 millis")
              }
              yield* stream.end()
              return bytes
            }).pipe(Effect.scoped)
          )
          const receiver = yield* Effect.forkScoped(
            Effect.gen(function* () {
              const stream = yield* server.acceptStream
              let bytes = 0
              yield* Stream.runForEach(stream.readable, (chunk) =>
                Effect.sync(() => {
                  for (const byte of chunk) {
                    if (byte !== (Math.floor(bytes / CHUNK) & 255)) assert.fail(`wrong byte at ${bytes}`)
                    bytes++
                  }
                })
              )
              return bytes
            }).pipe(Effect.scoped)
          )
          yield* Effect.sleep("500 millis")
          for (let step = 0; step < 12; step++) {
            const here = ALL.filter(() => random.next() < 0.5)
            if (here.length === 0) here.push(ALL[step % ALL.length]!)
            world.host.setAddresses(here)
            const pause = 50 + Math.floor(random.next() * 2500)
            yield* Effect.sleep(pause)
            check()
            if (pause < 1500) continue
            // The host was looked at, and what has gone was left.
            for (const { local } of open()) assert.include(here, NetAddress.formatHost(local))
          }
          world.host.setAddresses(ALL)
          yield* Effect.sleep("20 seconds")
          assert.strictEqual(open().length, LIMIT)
          assert.isTrue(open().every(({ state }) => state === "active"))
          sending.on = false
          assert.strictEqual(yield* Fiber.join(receiver), yield* Fiber.join(sender))
        }),
      {
        seed,
        client: { multipath: { maxPaths: LIMIT } },
        server: { multipath: { maxPaths: LIMIT } }
      }
    )
  }
})
