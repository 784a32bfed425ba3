/**
 * Addresses that a server advertises, and reports of observed addresses, between two machines: negotiation, roles, levels,
 * limits, loss. Names of noq's rules: crate noq-proto 1.4, `connection/mod.rs` and `n0_nat_traversal.rs`.
 */
import { assert, describe, it } from "@effect/vitest"
import { AdvertisedAddresses } from "../../src/internal/paths/AdvertisedAddresses.ts"
import { SentFrameKind, SentFrameList, SentFramePool } from "../../src/internal/recovery/SentFrames.ts"
import type { SentFrame } from "../../src/internal/recovery/SentFrames.ts"
import type { ConnectionSettings } from "../../src/internal/Settings.ts"
import { addressToBytes } from "../../src/internal/wire/AddressBytes.ts"
import type { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import {
  writeAddAddress,
  writeObservedAddress,
  writePing,
  writeRemoveAddress
} from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import { frames, inject } from "../support/Hostile.ts"
import type { Forgery } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import { connected, eventsOf, FrameLog, openInTheEnd, openPath, withPaths } from "../support/Multipath.ts"
import { exchange, seeds, transportCode } from "../support/Scenario.ts"

const book = new AddressBook()
const at = (n: number, port = 4433) => book.intern(`203.0.113.${n}`, port)
const bytes = (n: number): Uint8Array => addressToBytes(at(n))

type Write = (w: ByteWriter) => void
type Settings = Partial<ConnectionSettings>

const CLIENT: Settings = { maxPaths: 3, maxAdvertised: 4 }
const pairOf = (client: Settings, server: Settings, seed = 1, loss = 0): Pair =>
  connected({
    seed,
    links: [
      { mbps: 40, delay: 10, queue: 100, loss },
      { mbps: 40, delay: 10, queue: 100, loss }
    ],
    client: { settings: { maxPaths: 3, ...client } },
    server: { settings: { maxPaths: 3, ...server } }
  })

const run = (pair: Pair, ms = 300): void => pair.run(pair.simulator.now + ms)

const tell = (pair: Pair, to: "client" | "server", write: Write, options?: Forgery): void => {
  inject(pair.simulator, to === "client" ? pair.accepted : pair.connection, frames(write), options)
  run(pair, 60)
}

const known = (pair: Pair): ReadonlyArray<string> => pair.connection.remoteAddresses.current.map(String)

describe("ADD_ADDRESS and REMOVE_ADDRESS", () => {
  it("2.A, 2.F: nothing is advertised unless it is listed, and nothing at all with a client that does not want it", () => {
    for (const [client, server] of [
      [CLIENT, CLIENT],
      [{ maxAdvertised: 0 }, { maxAdvertised: 4, advertise: [at(1)] }],
      [{ maxAdvertised: 4 }, { maxAdvertised: 0, advertise: [at(1)] }],
      [
        { maxAdvertised: 4, maxPaths: 0 },
        { maxAdvertised: 4, advertise: [at(1)] }
      ]
    ] as const) {
      const pair = pairOf(client, server)
      const log = new FrameLog(pair.accepted)
      run(pair)
      assert.deepStrictEqual(log.of("addAddress"), [])
      assert.deepStrictEqual(known(pair), [])
      assert.deepStrictEqual(pair.client.closes, [])
    }
  })

  it("2.H: what is listed arrives with the port that is listed, else with that of the connection", () => {
    const pair = pairOf(CLIENT, { ...CLIENT, advertise: [at(1, 443), at(2, 0), book.intern("2001:db8::7", 8443)] })
    run(pair)
    assert.deepStrictEqual(known(pair), ["203.0.113.1:443", "203.0.113.2:4433", "[2001:db8::7]:8443"])
    assert.strictEqual(pair.connection.paths.length, 1)
  })

  it("2.F: AddressID and SequenceNumber count: an address is taken back, each number is used once", () => {
    const pair = pairOf(CLIENT, { ...CLIENT, advertise: [at(1), at(2)] })
    run(pair)
    const log = new FrameLog(pair.accepted)
    pair.accepted.withdraw(at(1))
    assert.isUndefined(pair.accepted.advertise(at(2)))
    assert.isUndefined(pair.accepted.advertise(at(1)))
    pair.accepted.wake()
    run(pair)
    assert.deepStrictEqual(known(pair), ["203.0.113.2:4433", "203.0.113.1:4433"])
    assert.deepStrictEqual(
      log.of("removeAddress").map(({ value }) => value),
      [0]
    )
    assert.deepStrictEqual(
      log.of("addAddress").map(({ value }) => value),
      [2]
    )
  })

  it("2.F: there is a count limit: no more is told than the client keeps, until it knows what was withdrawn", () => {
    const pair = pairOf({ maxAdvertised: 2 }, { maxAdvertised: 32, advertise: [at(1), at(2), at(3)] })
    run(pair)
    assert.deepStrictEqual(known(pair), ["203.0.113.1:4433", "203.0.113.2:4433"])
    assert.strictEqual(pair.accepted.advertise(at(4)), "limit")
    pair.accepted.withdraw(at(1))
    assert.strictEqual(pair.accepted.advertise(at(4)), "limit")
    pair.accepted.wake()
    run(pair)
    assert.isUndefined(pair.accepted.advertise(at(4)))
    pair.accepted.wake()
    run(pair)
    assert.deepStrictEqual(known(pair), ["203.0.113.2:4433", "203.0.113.4:4433"])
    assert.strictEqual(pair.connection.stats().addressesDropped, 0)
  })

  it("noq: what is beyond our limit, and port 0, is dropped and counted; the connection goes on", () => {
    const pair = pairOf({ maxAdvertised: 2 }, CLIENT)
    tell(pair, "client", (w) => {
      for (let i = 0; i < 100; i++) writeAddAddress(w, i, bytes(i), 4433)
      writeAddAddress(w, 1000, bytes(7), 0)
    })
    assert.strictEqual(known(pair).length, 2)
    assert.strictEqual(pair.connection.stats().addressesDropped, 99)
    exchange(pair, 100_000, 5000, "afterwards")
  })

  it("an ADD_ADDRESS that its REMOVE_ADDRESS has overtaken, or that comes again after it, adds nothing", () => {
    const pair = pairOf(CLIENT, CLIENT)
    tell(pair, "client", (w) => writeRemoveAddress(w, 5))
    tell(pair, "client", (w) => writeAddAddress(w, 5, bytes(5), 1))
    assert.deepStrictEqual(known(pair), [])
    tell(pair, "client", (w) => writeAddAddress(w, 6, bytes(6), 1))
    tell(pair, "client", (w) => writeRemoveAddress(w, 6))
    tell(pair, "client", (w) => writeAddAddress(w, 6, bytes(6), 1))
    assert.deepStrictEqual(known(pair), [])
    // noq: the newer one counts, although a number should mean one address.
    tell(pair, "client", (w) => writeAddAddress(w, 7, bytes(7), 1))
    tell(pair, "client", (w) => writeAddAddress(w, 7, bytes(8), 1))
    assert.deepStrictEqual(known(pair), ["203.0.113.8:1"])
  })

  it("an address whose ADD_ADDRESS was taken for lost is withdrawn all the same: the client may have it", () => {
    const advertised = new AdvertisedAddresses()
    advertised.limit = 4
    const written = (): SentFrame | undefined => {
      const list = new SentFrameList(new SentFramePool())
      frames((w) => advertised.write(w, list))
      return list.detach()
    }
    advertised.add(at(1))
    advertised.onLost(written()!)
    advertised.remove(at(1))
    assert.deepInclude(written(), { kind: SentFrameKind.removeAddress, value: 0 })
    // What never left need not be taken back.
    advertised.add(at(2))
    advertised.remove(at(2))
    assert.isUndefined(written())
  })

  it("withdrawals of numbers that never were cost a bounded memory", () => {
    const pair = pairOf(CLIENT, CLIENT)
    for (let i = 0; i < 10; i++)
      tell(pair, "client", (w) => {
        for (let k = 0; k < 100; k++) writeRemoveAddress(w, i * 100 + k)
      })
    const { withdrawn } = pair.connection.remoteAddresses as unknown as { readonly withdrawn: ReadonlyArray<number> }
    assert.isAtMost(withdrawn.length, 64)
    exchange(pair, 100_000, 5000, "afterwards")
  })

  it("noq: without negotiation, and from a client, it is a PROTOCOL_VIOLATION", () => {
    const add: Write = (w) => writeAddAddress(w, 0, bytes(1), 1)
    const remove: Write = (w) => writeRemoveAddress(w, 0)
    const reach: Write = (w) => {
      w.varint(0x3d7f92)
      w.varint(1)
      w.copy(bytes(1))
      w.uint16(1)
    }
    for (const write of [add, remove, reach]) {
      const unwanted = pairOf({ maxAdvertised: 0 }, CLIENT)
      tell(unwanted, "client", write)
      assert.strictEqual(transportCode(unwanted.client), TransportError.protocolViolation)
      if (write === reach) continue
      const reversed = pairOf(CLIENT, CLIENT)
      tell(reversed, "server", write)
      assert.strictEqual(transportCode(reversed.server), TransportError.protocolViolation)
    }
    const wrong = pairOf(CLIENT, CLIENT)
    tell(wrong, "client", reach)
    assert.strictEqual(transportCode(wrong.client), TransportError.protocolViolation)
    // From a client it is only a wish: nothing is sent to addresses that the peer made up.
    const asked = pairOf(CLIENT, CLIENT)
    tell(asked, "server", reach)
    assert.deepStrictEqual(asked.server.closes, [])
    assert.strictEqual(asked.accepted.stats().addressesDropped, 1)
  })

  it("draft-seemann-quic-nat-traversal section 6: only in 1-RTT packets", () => {
    const writes: ReadonlyArray<Write> = [
      (w) => writeAddAddress(w, 0, bytes(1), 1),
      (w) => writeRemoveAddress(w, 0),
      (w) => writeObservedAddress(w, 0, bytes(1), 1)
    ]
    for (const write of writes) {
      const settings = { ...CLIENT, addressDiscovery: "both" } as const
      for (const level of [Level.initial, Level.handshake]) {
        const pair = new Pair({ client: { settings }, server: { settings } })
        const initial = level === Level.initial
        // Before the client has keys of the next level it has those of the first.
        if (initial) pair.server.tap = () => false
        const ready = (): boolean =>
          initial ? pair.server.accepted.length > 0 : pair.connection.core.paths.primary.recovery.hasHandshakeKeys
        assert.isAtLeast(pair.until(ready, 1000, 0.5), 0)
        inject(pair.simulator, pair.accepted, frames(write), { level })
        run(pair, 60)
        assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
      }
    }
  })

  it("each truncation is a FRAME_ENCODING_ERROR", () => {
    const whole = frames((w) => writeAddAddress(w, 300, addressToBytes(book.intern("2001:db8::7", 1)), 1))
    for (let length = 4; length < whole.length; length++) {
      const pair = pairOf(CLIENT, CLIENT)
      tell(pair, "client", (w) => {
        writePing(w)
        w.copy(whole.subarray(0, length))
      })
      assert.strictEqual(transportCode(pair.client), TransportError.frameEncoding, `${length} bytes`)
    }
  })

  it("a server's addresses arrive in the end, and those that it takes back go, however many packets are lost", () => {
    for (const seed of seeds(12)) {
      const pair = pairOf(CLIENT, { ...CLIENT, advertise: [at(1), at(2)] }, seed, 0.3)
      for (let round = 3; round < 12; round++) {
        pair.accepted.withdraw(at(round - 1))
        pair.accepted.advertise(at(round))
        pair.accepted.wake()
        run(pair, 40 * (round % 3))
      }
      const wanted = (): string => pair.accepted.core.addresses.advertised.current.map(String).toSorted().join()
      const done = pair.until(() => known(pair).toSorted().join() === wanted(), pair.simulator.now + 60_000, 10)
      assert.isAtLeast(done, 0, `seed ${seed}: ${known(pair).join()} instead of ${wanted()}`)
      run(pair, 5000)
      assert.strictEqual(known(pair).toSorted().join(), wanted(), `seed ${seed}`)
      assert.strictEqual(pair.connection.stats().addressesDropped, 0, `seed ${seed}`)
    }
  })

  it("2.F: an address that was advertised gets nothing; and a path there nothing but challenges until it answers", () => {
    const pair = pairOf(CLIENT, { ...CLIENT, advertise: [at(1)] })
    const sizes: Array<number> = []
    pair.client.tap = (datagram, _from, to) => {
      if (to.host === "203.0.113.1") sizes.push(datagram.length)
      return to.host !== "203.0.113.1"
    }
    exchange(pair, 1_000_000, 5000, "before")
    assert.deepStrictEqual(sizes, [])
    const [remote] = pair.connection.remoteAddresses.current
    const id = pair.connection.openPath({ local: pair.client.addresses[1]!, remote }, pair.simulator.now)
    pair.connection.wake()
    exchange(pair, 1_000_000, 5000, "beside")
    const path = pair.connection.path(id as number)
    assert.isAtLeast(sizes.length, 1)
    assert.isTrue(sizes.every((size) => size === 1200))
    assert.isAtMost(sizes.length, 10)
    assert.strictEqual(path?.validated ?? false, false)
  })

  it("REMOVE_ADDRESS closes no path", () => {
    const pair = withPaths({
      settings: { ...CLIENT },
      server: { settings: { ...CLIENT, advertise: [book.intern("10.9.0.1", 4433)] } }
    })
    run(pair)
    pair.accepted.withdraw(book.intern("10.9.0.1", 4433))
    pair.accepted.wake()
    run(pair)
    assert.deepStrictEqual(known(pair), [])
    assert.strictEqual(pair.connection.paths.filter(({ state }) => state === "active").length, 2)
    exchange(pair, 300_000, 5000, "afterwards")
  })
})

const observed = (pair: Pair, id = 0): string => String(pair.connection.observedAddress(id))

describe("OBSERVED_ADDRESS", () => {
  it("address discovery section 4: only from a side that gives reports to one that wants them", () => {
    const roles = ["off", "send", "receive", "both"] as const
    for (const server of roles) {
      for (const client of roles) {
        const pair = pairOf({ addressDiscovery: client }, { addressDiscovery: server })
        const logs = [new FrameLog(pair.accepted), new FrameLog(pair.connection)]
        openPath(pair, 1)
        run(pair)
        const gives = (role: string): boolean => role === "send" || role === "both"
        const wants = (role: string): boolean => role === "receive" || role === "both"
        const toClient = gives(server) && wants(client)
        const toServer = gives(client) && wants(server)
        assert.strictEqual(logs[0]!.of("observedAddress").length > 0, toClient, `${server} to ${client}`)
        assert.strictEqual(logs[1]!.of("observedAddress").length > 0, toServer, `${client} to ${server}`)
        assert.strictEqual(observed(pair), toClient ? "10.0.0.1:5000" : "undefined")
        assert.strictEqual(observed(pair, 1), toClient ? "10.0.1.1:5000" : "undefined")
        assert.strictEqual(String(pair.accepted.observedAddress(0)), toServer ? "10.9.0.1:4433" : "undefined")
        assert.deepStrictEqual(pair.client.closes, [])
      }
    }
  })

  it("section 5: a report says where this path is seen, an older one nothing, the same one is no event", () => {
    const pair = pairOf({ addressDiscovery: "receive" }, { addressDiscovery: "send" })
    run(pair)
    assert.strictEqual(eventsOf(pair.client, "observed").length, 1)
    tell(pair, "client", (w) => writeObservedAddress(w, 9, bytes(9), 9))
    tell(pair, "client", (w) => writeObservedAddress(w, 8, bytes(8), 8))
    tell(pair, "client", (w) => writeObservedAddress(w, 9, bytes(8), 8))
    tell(pair, "client", (w) => writeObservedAddress(w, 10, bytes(9), 9))
    assert.deepStrictEqual(
      eventsOf(pair.client, "observed").map((event) => event.kind === "observed" && String(event.address)),
      ["10.0.0.1:5000", "203.0.113.9:9"]
    )
  })

  it("of a path that moves nothing is known until the peer has seen it there; of one that returns what was known", () => {
    const pair = pairOf({ addressDiscovery: "receive" }, { addressDiscovery: "send" })
    run(pair)
    assert.strictEqual(observed(pair), "10.0.0.1:5000")
    const [, other] = pair.client.addresses
    assert.isUndefined(pair.connection.migratePath(0, other!, false, pair.simulator.now))
    assert.strictEqual(observed(pair), "undefined")
    pair.connection.wake()
    run(pair)
    assert.strictEqual(observed(pair), String(other))
    // Nothing comes back from there: the path returns.
    pair.links[0]!.cut()
    const old = pair.client.addresses[0]!
    assert.isUndefined(pair.connection.migratePath(0, old, false, pair.simulator.now))
    pair.connection.wake()
    assert.strictEqual(observed(pair), "undefined")
    pair.until(() => pair.connection.path(0)!.local !== old, pair.simulator.now + 10_000)
    assert.strictEqual(observed(pair), String(other))
  })

  it("noq: without negotiation it is a PROTOCOL_VIOLATION", () => {
    for (const addressDiscovery of ["off", "send"] as const) {
      const pair = pairOf({ addressDiscovery }, { addressDiscovery: "both" })
      tell(pair, "client", (w) => writeObservedAddress(w, 9, bytes(9), 9))
      assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
    }
  })

  it("section 5: a report that is lost is told again", () => {
    for (const seed of seeds(10)) {
      const pair = pairOf({ addressDiscovery: "receive" }, { addressDiscovery: "send" }, seed, 0.4)
      // A path that cannot be proven at this loss is given up, and its report with it.
      const id = openInTheEnd(pair, 1)
      const told = (): boolean => observed(pair) === "10.0.0.1:5000" && observed(pair, id) === "10.0.1.1:5000"
      assert.isAtLeast(pair.until(told, pair.simulator.now + 60_000, 10), 0, `seed ${seed}`)
    }
  })
})
