/** Addresses of the host that come and go: who looks when, and what follows. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { WildcardFollower } from "../../src/internal/runtime/FollowHost.ts"
import { HostAddresses } from "../../src/internal/runtime/HostAddresses.ts"
import type { HostChange } from "../../src/internal/runtime/HostAddresses.ts"
import { addressUnavailable } from "../../src/internal/runtime/UdpErrors.ts"
import type { Path } from "../../src/index.ts"
import { reasonOf, scenario } from "./support.ts"

const told = ({ changed, missing, returned }: HostChange) => [changed, Array.from(missing), Array.from(returned)]

describe("a look at the addresses", () => {
  it("F4: misses what was there and is in use, for as long as that lasts", () => {
    let here = ["a", "b"]
    const used = new Set(["a", "never listed"])
    const hosts = new HostAddresses(
      () => here,
      (host) => used.has(host)
    )
    const steps: ReadonlyArray<readonly [here: ReadonlyArray<string>, told: ReadonlyArray<unknown>]> = [
      [
        ["a", "b"],
        [false, [], []]
      ],
      [["b"], [true, ["a"], []]],
      [["b"], [false, ["a"], []]],
      [
        ["b", "c"],
        [true, ["a"], ["c"]]
      ],
      [
        ["a", "c"],
        [true, [], ["a"]]
      ],
      [
        ["a", "b"],
        [true, [], ["b"]]
      ],
      [["c"], [true, ["a"], ["c"]]],
      // Where the system does not tell, nothing has changed.
      [[], [false, ["a"], []]]
    ]
    for (const [now, expected] of steps) {
      here = [...now]
      assert.deepStrictEqual(told(hosts.look()), expected, now.join())
    }
    used.delete("a")
    assert.deepStrictEqual(told(hosts.look()), [false, [], []])
  })

  it.effect("F4: comes every second, 20 times a second while one is missing, and soon after a refused send", () =>
    Effect.gen(function* () {
      let looks = 0
      let here = ["a"]
      const hosts = new HostAddresses(
        () => (looks++, here),
        () => true
      )
      const changes: Array<number> = []
      const fiber = yield* Effect.forkChild(
        hosts.watch(() =>
          Effect.map(Clock.currentTimeMillis, (time) => {
            changes.push(Number(time))
          })
        )
      )
      const during = Effect.fnUntraced(function* (ms: number) {
        const before = looks
        for (let time = 0; time < ms; time += 10) yield* TestClock.adjust(10)
        return looks - before
      })
      assert.strictEqual(yield* during(5000), 5)
      hosts.onSendError("EMSGSIZE")
      assert.strictEqual(yield* during(100), 0)
      hosts.onSendError("EADDRNOTAVAIL")
      assert.strictEqual(yield* during(100), 1)
      assert.deepStrictEqual(changes, [])
      here = ["b"]
      assert.isAtLeast(yield* during(2000), 20)
      assert.isAbove(changes.length, 15)
      // However often a send is refused.
      const count = Effect.sync(() => hosts.onSendError("ENETUNREACH"))
      const storm = yield* Effect.forkChild(Effect.forever(Effect.andThen(count, Effect.sleep(1))))
      assert.isAtMost(yield* during(1000), 50)
      yield* Fiber.interrupt(storm)
      yield* Fiber.interrupt(fiber)
    })
  )
})

describe("a wildcard of single sockets", () => {
  it.effect("F10: takes in new addresses, tries again what cannot be had yet, and gives up what is gone for long", () =>
    Effect.gen(function* () {
      const bound = new Set(["a"])
      const tentative = new Set(["v6"])
      let time = 0
      const follower = new WildcardFollower(
        {
          covers: (here) => here.filter((host) => host !== "other"),
          isBound: (host) => bound.has(host),
          bind: (host) =>
            tentative.has(host)
              ? Effect.fail(addressUnavailable({ host, port: 1 }))
              : Effect.sync(() => {
                  bound.add(host)
                  return Effect.sync(() => void bound.delete(host))
                })
        },
        () => time
      )
      const look = (...here: ReadonlyArray<string>) => follower.follow({ here: new Set(here) })
      yield* look("a", "b", "v6", "other")
      assert.sameMembers([...bound], ["a", "b"])
      tentative.clear()
      yield* look("a", "b", "v6")
      assert.sameMembers([...bound], ["a", "b", "v6"])
      yield* look("a", "v6")
      time = 30_000
      yield* look("a", "b", "v6")
      time = 100_000
      yield* look("a", "v6")
      assert.sameMembers([...bound], ["a", "b", "v6"])
      time = 161_000
      yield* look("a", "v6")
      assert.sameMembers([...bound], ["a", "v6"])
    })
  )
})

describe("path.migrate", () => {
  scenario("F4: moves a path to another address, with an event, and data goes on", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const events: Array<Path.Event> = []
      yield* Effect.forkScoped(Stream.runForEach(client.events, (event) => Effect.sync(() => void events.push(event))))
      const path = client.path(0)!
      yield* path.migrate({ local: "10.0.1.1" })
      assert.include(JSON.stringify(path.local), "10.0.1.1")
      const stream = yield* client.openStream()
      yield* stream.end("from elsewhere")
      const accepted = yield* server.acceptStream
      assert.strictEqual(yield* accepted.text, "from elsewhere")
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(
        events.map(({ _tag }) => _tag),
        ["Migrated"]
      )
      assert.include(JSON.stringify(server.path(0)!.remote), "10.0.1.1")
      // Another port of the same address.
      yield* path.migrate()
      assert.include(JSON.stringify(path.local), "10.0.1.1")
    })
  )

  scenario("F4: says why it cannot", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      const why = (effect: Effect.Effect<void, { readonly reason: { readonly name: string } }>) =>
        Effect.map(Effect.flip(effect), ({ reason }) => reason.name)
      assert.strictEqual(yield* why(client.path(0)!.migrate({ local: "10.77.0.1" })), "AddressUnavailable")
      assert.strictEqual(yield* why(client.path(0)!.migrate({ local: "::1" })), "AddressUnreachable")
      assert.strictEqual(yield* why(client.path(0)!.migrate({ local: "nonsense" })), "BadConfig")
      assert.strictEqual(yield* why(server.path(0)!.migrate({ local: "10.9.0.1" })), "PathUnavailable")
      const path = client.path(0)!
      yield* client.close()
      assert.strictEqual(yield* why(path.migrate()), "PathFailed")
    })
  )
})

describe("a simulated host whose addresses change", () => {
  scenario("its only path moves away from an address that is gone, and what is sent there is lost", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      yield* Effect.sleep("1 second")
      const before = world.network.unreachable
      world.host.setAddresses(["10.0.1.1"])
      const stream = yield* client.openStream()
      yield* stream.end(new Uint8Array(100_000))
      assert.strictEqual((yield* (yield* server.acceptStream).bytes).length, 100_000)
      assert.include(JSON.stringify(client.local), "10.0.1.1")
      assert.isAtLeast(world.network.unreachable, before)
      assert.deepStrictEqual(world.host.addresses, ["10.0.1.1"])
    })
  )

  scenario("a socket works again when its address is back, and nothing can be bound meanwhile", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* world.pair()
      yield* Effect.sleep("1 second")
      world.host.setAddresses([])
      yield* Effect.sleep("2 seconds")
      const exit = yield* Effect.exit(client.openPath({ local: "10.0.1.1" }))
      assert.strictEqual(reasonOf(exit), "AddressUnavailable")
      world.host.setAddresses(["10.0.0.1"])
      const stream = yield* client.openStream()
      yield* stream.end("back")
      assert.strictEqual(yield* (yield* server.acceptStream).text, "back")
      assert.include(JSON.stringify(client.local), "10.0.0.1")
    })
  )

  scenario("refuses what is no address, or another host's", (world) =>
    Effect.sync(() => {
      assert.throws(() => world.host.setAddresses(["nonsense"]), /addresses\[0\]/)
      assert.throws(() => world.host.setAddresses(["10.0.0.1", "10.9.0.1"]), /addresses\[1\].*of the host server/)
      assert.deepStrictEqual(world.host.addresses, ["10.0.0.1", "10.0.1.1"])
    })
  )
})
