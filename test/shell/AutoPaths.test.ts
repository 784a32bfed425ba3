/** Paths that open and close by themselves, on simulated hosts whose addresses come and go. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import type { Scope } from "effect"
import { NetAddress } from "effect/net"
import { LocalAddresses, PathManager } from "../../src/index.ts"
import type { Connection } from "../../src/index.ts"
import type { ConnectionImpl } from "../../src/Connection.ts"
import type { Connection as Machine } from "../../src/internal/connection/Connection.ts"
import { mayLeadTo } from "../../src/internal/runtime/AutoPaths.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import type { LoggedLine, World } from "./support.ts"
import { drive, logged, makeWorld, reasonOf, scenario } from "./support.ts"

/** From where to where the open paths lead. */
const pairs = (connection: Connection.Connection): ReadonlyArray<string> =>
  connection.paths
    .filter(({ state }) => state !== "closing" && state !== "closed")
    .map(({ local, remote }) => `${NetAddress.formatHost(local)} ${NetAddress.formatHost(remote)}`)

const locals = (connection: Connection.Connection): ReadonlyArray<string> =>
  pairs(connection)
    .map((pair) => pair.split(" ")[0]!)
    .toSorted()

/** A connection with that path manager. */
const managed = (world: World, layer: Layer.Layer<never, unknown>) => world.pair().pipe(Effect.provide(layer))

/** Sends so many bytes from the client, and checks that they arrive. */
const transfer = (
  { client, server }: { readonly client: Connection.Connection; readonly server: Connection.Connection },
  bytes: number
) =>
  Effect.gen(function* () {
    const stream = yield* client.openStream()
    const sent = new Uint8Array(bytes).map((_, index) => index % 251)
    yield* Effect.forkScoped(stream.end(sent))
    const received = yield* (yield* server.acceptStream).bytes
    assert.strictEqual(Buffer.compare(received, sent), 0)
  })

const auto = PathManager.layerAuto()
const serverManager = Layer.orDie(auto)
const A = "10.0.0.1"
const B = "10.0.1.1"
const C = "10.0.2.1"

const test = (name: string, body: (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>, maxPaths = 4): void =>
  scenario(name, body, { client: { multipath: { maxPaths } }, server: { multipath: { maxPaths } } })

describe("layerAuto", () => {
  test("opens one path per further local address once the handshake is confirmed, and proves each", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C])
      const pair = yield* managed(world, auto)
      assert.deepStrictEqual(locals(pair.client), [A])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(pair.client), [A, B, C])
      assert.isTrue(pair.client.paths.every(({ state }) => state === "active"))
      yield* transfer(pair, 300_000)
    }))

  test("2.H: a path is opened from an address that comes later, not once per connection only", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A])
      const { client } = yield* managed(world, auto)
      yield* Effect.sleep("5 seconds")
      assert.deepStrictEqual(locals(client), [A])
      world.host.setAddresses([A, B])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [A, B])
    }))

  test("2.H: an address that goes takes its paths with it, and neither the others nor the connection", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C])
      const pair = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      yield* Effect.all([transfer(pair, 3_000_000), Effect.sync(() => world.host.setAddresses([A, C]))], {
        concurrency: 2
      })
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(pair.client), [A, C])
      assert.isFalse(pair.client.isClosed)
      yield* Effect.sleep("6 seconds")
      assert.sameMembers(world.client.addresses.map(NetAddress.formatHost), [A, C])
      world.host.setAddresses([A, B, C])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(pair.client), [A, B, C])
      yield* transfer(pair, 100_000)
    }))

  test("path 0 is given up like any other when its address goes, and its data moves", (world) =>
    Effect.gen(function* () {
      const pair = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      yield* Effect.all([transfer(pair, 3_000_000), Effect.sync(() => world.host.setAddresses([B]))], {
        concurrency: 2
      })
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(pair.client), [B])
      assert.isUndefined(pair.client.paths.find(({ id }) => id === 0 && pair.client.path(0)?.state === "active"))
      world.host.setAddresses([A, B])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(pair.client), [A, B])
    }))

  test("the only path moves when its address goes, and is not given up", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A])
      const pair = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      world.host.setAddresses([B])
      yield* transfer(pair, 100_000)
      assert.deepStrictEqual(locals(pair.client), [B])
      assert.strictEqual(pair.client.paths[0]!.id, 0)
    }))

  test("2.H: another look at the addresses does not open a second path of the same pair", (world) =>
    Effect.gen(function* () {
      const { client } = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      for (let i = 0; i < 20; i++) {
        world.host.setAddresses(i % 2 === 0 ? [B, A] : [A, B, C])
        yield* Effect.sleep("700 millis")
        assert.strictEqual(new Set(pairs(client)).size, pairs(client).length)
      }
    }))

  test("2.C: the primary's own address gets no second path", (world) =>
    Effect.gen(function* () {
      const { client } = yield* managed(world, PathManager.layerAuto({ addresses: [A, B] }))
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(client), [A, B])
    }))

  test(
    "2.F: no more paths than both sides allow, and one more when a slot is free again",
    (world) =>
      Effect.gen(function* () {
        world.host.setAddresses([A, B, C])
        const { client } = yield* managed(world, auto)
        yield* Effect.sleep("2 seconds")
        assert.strictEqual(pairs(client).length, 2)
        world.host.setAddresses(locals(client).includes(B) ? [A, C] : [A, B])
        yield* Effect.sleep("10 seconds")
        assert.deepStrictEqual(locals(client), world.host.addresses)
      }),
    2
  )

  test("2.C: paths behind a translator carry data both ways, though nobody told the server of them", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B])
      world.network.nat({ inside: [A, B], outside: "192.0.2.1" })
      const { client, server } = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(client), [A, B])
      assert.deepStrictEqual(
        server.paths.map(({ remote }) => NetAddress.formatHost(remote)),
        ["192.0.2.1", "192.0.2.1"]
      )
      for (const pathId of [0, 1]) {
        yield* client.sendDatagram(`ask ${pathId}`, { pathId })
        yield* server.sendDatagram(`answer ${pathId}`, { pathId })
      }
      const read = (connection: Connection.Connection) =>
        Effect.map(Stream.runCollect(Stream.take(connection.datagrams, 2)), (all) =>
          all.map((bytes) => Buffer.from(bytes).toString()).toSorted()
        )
      assert.deepStrictEqual(yield* read(server), ["ask 0", "ask 1"])
      assert.deepStrictEqual(yield* read(client), ["answer 0", "answer 1"])
    }))

  test("2.C: a client that is bound to a wildcard has no second path from its own address", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A])
      const { client } = yield* world.pair({ local: "0.0.0.0" }).pipe(Effect.provide(auto))
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [A])
    }))

  test("2.H: whatever the list says, packets leave from an address of this host", (world) =>
    Effect.gen(function* () {
      const { client, server } = yield* managed(world, Layer.merge(auto, LocalAddresses.layerFixed([B])))
      assert.strictEqual(NetAddress.formatHost(server.remote), A)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(client), [A, B])
    }))

  test("2.F: refused sends of one path are no end of the connection", (world) =>
    Effect.gen(function* () {
      const pair = yield* managed(world, PathManager.layerAuto({ maxPaths: 2 }))
      yield* Effect.sleep("1 second")
      for (let round = 0; round < 5; round++) {
        world.host.setAddresses(round % 2 === 0 ? [A] : [B])
        yield* transfer(pair, 200_000)
      }
      assert.isFalse(pair.client.isClosed)
    }))

  test("maxPaths bounds it below what is negotiated, paths of the application among them", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C])
      const { client } = yield* managed(world, PathManager.layerAuto({ maxPaths: 2 }))
      yield* Effect.sleep("2 seconds")
      assert.strictEqual(pairs(client).length, 2)
      yield* client.openPath({ local: locals(client).includes(B) ? C : B })
      yield* Effect.sleep("2 seconds")
      assert.strictEqual(pairs(client).length, 3)
    }))

  test("an allowlist and families keep other addresses out", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C, "fd00::1"])
      const { client } = yield* managed(world, PathManager.layerAuto({ addresses: [C], families: ["IPv4"] }))
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [A, C])
      const other = yield* managed(world, PathManager.layerAuto({ families: ["IPv6"] }))
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(other.client), [A])
    }))

  test("a lost path does not move to an address that is not allowed", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C])
      const { client } = yield* managed(world, PathManager.layerAuto({ addresses: [A, C], maxPaths: 1 }))
      yield* Effect.sleep("1 second")
      world.host.setAddresses([B, C])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [C])
    }))

  test("loopback only if asked", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, "127.0.0.1"])
      const { client } = yield* managed(world, auto)
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [A])
    }))

  test("a path that the application closes stays closed while its address stays", (world) =>
    Effect.gen(function* () {
      const { client } = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      yield* client.paths.find(({ local }) => NetAddress.formatHost(local) === B)!.close()
      yield* Effect.sleep("10 seconds")
      assert.deepStrictEqual(locals(client), [A])
      world.host.setAddresses([A])
      yield* Effect.sleep("2 seconds")
      world.host.setAddresses([A, B])
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(client), [A, B])
    }))

  test("an address that does not work is tried again with back-off, and the rest is not disturbed", (world) =>
    Effect.gen(function* () {
      const dead = world.network.link(B, "10.9.0.1", {})
      dead.cut()
      const pair = yield* managed(world, PathManager.layerAuto({ retryAfter: "1 second", maxRetryAfter: "8 seconds" }))
      let opened = 0
      yield* Effect.forkScoped(
        Stream.runForEach(pair.client.events, ({ _tag }) => Effect.sync(() => (opened += _tag === "Opened" ? 1 : 0)))
      )
      yield* Effect.sleep("30 seconds").pipe(
        Effect.raceFirst(Effect.forever(Effect.andThen(transfer(pair, 1000), Effect.sleep("1 second"))))
      )
      assert.isAtLeast(opened, 3)
      assert.isAtMost(opened, 9)
      dead.restore()
      yield* Effect.raceFirst(
        Effect.sleep("12 seconds"),
        Effect.forever(Effect.andThen(transfer(pair, 1000), Effect.sleep("1 second")))
      )
      assert.deepStrictEqual(locals(pair.client), [A, B])
    }))

  it.effect("an address that is not of this host is said once, tried again, and harms nothing", () => {
    const lines: Array<LoggedLine> = []
    const body = Effect.gen(function* () {
      const world = yield* makeWorld({ client: { multipath: { maxPaths: 4 } } })
      const layer = Layer.merge(auto, LocalAddresses.layerFixed([A, B, "10.77.0.1"]))
      const pair = yield* managed(world, layer)
      yield* Effect.sleep("5 seconds")
      assert.deepStrictEqual(locals(pair.client), [A, B])
      yield* transfer(pair, 10_000)
      const said = lines.filter(({ level, message }) => level === "Info" && message.includes("10.77.0.1"))
      assert.strictEqual(said.length, 1)
      assert.isAbove(lines.filter(({ message }) => message.includes("10.77.0.1")).length, 2)
    })
    return logged(lines, drive(body))
  })

  scenario(
    "2.F: servers open none",
    (world) =>
      Effect.gen(function* () {
        const { client, server } = yield* world.pair()
        yield* Effect.sleep("2 seconds")
        assert.isTrue(server.multipath)
        assert.deepStrictEqual(locals(client), [A])
        assert.strictEqual(server.paths.length, 1)
      }),
    { around: (effect) => Effect.provide(effect, serverManager) }
  )

  scenario(
    "without multipath on the other side nothing is opened",
    (world) =>
      Effect.gen(function* () {
        const pair = yield* managed(world, auto)
        yield* Effect.sleep("3 seconds")
        assert.isFalse(pair.client.multipath)
        assert.deepStrictEqual(locals(pair.client), [A])
        yield* transfer(pair, 1000)
      }),
    { server: { multipath: { maxPaths: 0 } } }
  )

  test("does nothing once the connection is closed", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A])
      const { client } = yield* managed(world, auto)
      yield* Effect.sleep("1 second")
      yield* client.close()
      yield* Effect.sleep("1 second")
      const bound = world.client.addresses.length
      world.host.setAddresses([A, B, C])
      yield* Effect.sleep("5 seconds")
      assert.isAtMost(world.client.addresses.length, bound)
    }))

  test("2.F: managers are made per connection, from the context of connect", (world) =>
    Effect.gen(function* () {
      const first = yield* managed(world, auto)
      const second = yield* managed(world, PathManager.layerManual)
      const third = yield* managed(world, auto)
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(locals(first.client), [A, B])
      assert.deepStrictEqual(locals(second.client), [A])
      assert.deepStrictEqual(locals(third.client), [A, B])
      // One socket for each address, whatever the number of paths.
      assert.strictEqual(world.client.addresses.length, 2)
    }))

  const refused: ReadonlyArray<readonly [field: string, config: object]> = [
    ["maxPaths", { maxPaths: 0 }],
    ["maxPaths", { maxPaths: 1.5 }],
    ["retryAfter", { retryAfter: "1 milli" }],
    ["maxRetryAfter", { maxRetryAfter: -1 }],
    ["maxRetryAfter", { retryAfter: "10 seconds", maxRetryAfter: "1 second" }],
    ["addresses[1]", { addresses: [A, "nonsense"] }],
    ["addresses[0]", { addresses: ["0.0.0.0"] }],
    ["families", { families: ["IPv5"] }],
    ["includeLoopback", { includeLoopback: "yes" }],
    ["status", { status: "standby" }],
    ["address", { address: A }]
  ]
  it.effect.each(refused)("refuses a wrong %s by name and range", ([field, config]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(PathManager.layerAuto(config))))
      assert.strictEqual(error.reason.name, "BadConfig")
      assert.match(error.message, new RegExp(field.replaceAll(/[[\]]/g, "\\$&")))
    })
  )
})

/** The peer advertises, or withdraws, as its frames would. */
const advertise = (connection: Connection.Connection, sequence: number, address: string | undefined) =>
  Effect.sync(() => {
    const { core, listener } = (connection as ConnectionImpl).machine as unknown as Machine
    if (address === undefined) core.addresses.remote.remove(sequence)
    else core.addresses.remote.add(sequence, new AddressBook().intern(address, 4433))
    listener!.onPathRoom!()
  })

describe("addresses that the peer advertises", () => {
  test("get a path from each local address, up to the limit", (world) =>
    Effect.gen(function* () {
      const { client } = yield* managed(world, auto)
      yield* advertise(client, 0, "10.9.0.2")
      yield* Effect.sleep("100 millis")
      assert.sameMembers([...pairs(client)], [`${A} 10.9.0.1`, `${B} 10.9.0.2`, `${A} 10.9.0.2`, `${B} 10.9.0.1`])
    }))

  test("2.F: nobody is there, so nothing but challenges goes there, and the rest goes on", (world) =>
    Effect.gen(function* () {
      const pair = yield* managed(world, PathManager.layerAuto({ addresses: [A] }))
      yield* advertise(pair.client, 0, "10.9.0.77")
      yield* Effect.sleep("100 millis")
      const path = pair.client.paths.find(({ remote }) => NetAddress.formatHost(remote) === "10.9.0.77")!
      yield* transfer(pair, 1_000_000)
      yield* Effect.sleep("5 seconds")
      assert.strictEqual(path.stats.streamBytesSent, 0)
      assert.isAtMost(path.stats.packetsSent, 10)
      yield* advertise(pair.client, 0, undefined)
      yield* Effect.sleep("5 seconds")
      assert.deepStrictEqual(pairs(pair.client), [`${A} 10.9.0.1`])
    }))

  it("2.F: lead neither into this host nor into private networks, unless the peer is there itself", () => {
    const at = (text: string) => NetAddress.inetAddressFromStringUnsafe(text)
    const cases: ReadonlyArray<readonly [advertised: string, peer: string, allowed: boolean]> = [
      ["198.51.100.1:443", "203.0.113.1:443", true],
      ["127.0.0.1:443", "203.0.113.1:443", false],
      ["192.168.1.1:443", "203.0.113.1:443", false],
      ["192.168.1.1:443", "192.168.2.1:443", true],
      ["198.51.100.1:443", "192.168.2.1:443", true],
      ["169.254.1.1:443", "203.0.113.1:443", false],
      ["0.0.0.0:443", "203.0.113.1:443", false],
      ["224.0.0.1:443", "203.0.113.1:443", false],
      ["198.51.100.1:0", "203.0.113.1:443", false],
      ["[fd00::1]:443", "[2001:db8::1]:443", false],
      ["[::1]:443", "[2001:db8::1]:443", false],
      ["[2001:db8::2]:443", "[2001:db8::1]:443", true],
      ["127.0.0.2:443", "127.0.0.1:443", true]
    ]
    for (const [advertised, peer, allowed] of cases)
      assert.strictEqual(mayLeadTo(at(advertised), at(peer)), allowed, `${advertised} of ${peer}`)
  })
})

describe("layerControlled", () => {
  const controlled = Layer.merge(auto, LocalAddresses.layerControlled([A]))

  test("2.H: adding, removing and setting addresses never disturbs the others", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, B, C])
      yield* Effect.gen(function* () {
        const addresses = yield* LocalAddresses.Controlled
        const pair = yield* world.pair()
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [A])
        yield* addresses.add(B)
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [A, B])
        const kept = pair.client.paths[0]!
        yield* Effect.all([transfer(pair, 2_000_000), addresses.remove(B)], { concurrency: 2 })
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [A])
        yield* addresses.set([A, C])
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [A, C])
        assert.strictEqual(pair.client.paths[0], kept)
        yield* addresses.remove(A)
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [C])
        yield* addresses.set([B])
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(locals(pair.client), [B])
        yield* addresses.set([])
        yield* transfer(pair, 10_000)
        assert.deepStrictEqual(locals(pair.client), [B])
      }).pipe(Effect.provide(controlled))
    }))

  it.effect("2.H: IPv4 in the form of IPv6 is the same address, and bad ones are refused by name", () =>
    Effect.gen(function* () {
      const addresses = yield* LocalAddresses.Controlled
      yield* addresses.add("::ffff:10.0.0.1")
      yield* addresses.add("10.0.1.1:5000")
      assert.deepStrictEqual(addresses.current.map(NetAddress.formatInet), ["10.0.0.1:0", "10.0.1.1:5000"])
      yield* addresses.remove(B)
      assert.deepStrictEqual(addresses.current.map(NetAddress.formatInet), ["10.0.0.1:0"])
      for (const bad of ["nonsense", "0.0.0.0", "224.0.0.1", 5 as unknown as string])
        assert.strictEqual(reasonOf(yield* Effect.exit(addresses.add(bad))), "BadConfig")
      const many = Array.from({ length: 257 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
      assert.strictEqual(reasonOf(yield* Effect.exit(addresses.set(many))), "BadConfig")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(addresses.set("10.0.0.1" as never))))
      assert.deepStrictEqual(addresses.current.map(NetAddress.formatInet), ["10.0.0.1:0"])
    }).pipe(Effect.provide(controlled))
  )
})

describe("layerInterfaces", () => {
  test("one look at each interval serves all, and leaves out what is not wanted", (world) =>
    Effect.gen(function* () {
      world.host.setAddresses([A, "127.0.0.1", "fd00::1"])
      const layer = Layer.merge(
        auto,
        LocalAddresses.layerInterfaces({ refresh: "250 millis", ipv6: false }).pipe(Layer.provide(world.host.udpSocket))
      )
      yield* Effect.gen(function* () {
        const addresses = yield* LocalAddresses.LocalAddresses
        assert.deepStrictEqual(addresses.current.map(NetAddress.formatHost), [A])
        const { client } = yield* world.pair()
        yield* Effect.sleep("2 seconds")
        world.host.setAddresses([A, B])
        yield* Effect.sleep("400 millis")
        assert.deepStrictEqual(addresses.current.map(NetAddress.formatHost), [A, B])
        assert.deepStrictEqual(locals(client), [A, B])
        world.host.setAddresses([B])
        yield* Effect.sleep("2 seconds")
        assert.deepStrictEqual(locals(client), [B])
      }).pipe(Effect.provide(layer))
    }))

  test("refuses a refresh out of range", (world) =>
    Effect.gen(function* () {
      const layer = LocalAddresses.layerInterfaces({ refresh: "1 milli" }).pipe(Layer.provide(world.host.udpSocket))
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(reasonOf(exit), "BadConfig")
      assert.match(String(exit), /refresh/)
    }))
})

describe("a manager of one's own", () => {
  test("sees the connection, opens and closes paths, and ends with it", (world) =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const own = PathManager.layer((view) =>
        Effect.gen(function* () {
          yield* Effect.addFinalizer(() => Effect.sync(() => seen.push("ended")))
          yield* view.confirmed
          const path = yield* view.openPath({ local: view.localAddresses.current[1], status: "backup" })
          yield* path.validated
          seen.push(`${view.role} ${path.status}`)
          yield* view.closePath(0)
          yield* view.closePath(77)
          return yield* Effect.never
        })
      )
      const { client } = yield* managed(world, own)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(locals(client), [B])
      assert.deepStrictEqual(seen, ["client backup"])
      yield* client.close()
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(seen, ["client backup", "ended"])
    }))

  for (const [name, factory] of [
    ["throws", () => assert.fail("its author erred")],
    ["fails", () => Effect.fail("its author erred")],
    ["gives no Effect", () => "its author erred" as never]
  ] as const) {
    test(`one that ${name} is reported, and the connection goes on`, (world) =>
      Effect.gen(function* () {
        const pair = yield* managed(world, PathManager.layer(factory))
        yield* Effect.sleep("1 second")
        yield* transfer(pair, 1000)
        // What it did not do is done as without it.
        world.host.setAddresses([B])
        yield* transfer(pair, 1000)
        assert.deepStrictEqual(locals(pair.client), [B])
      }))
  }
})
