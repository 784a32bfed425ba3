import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { createSocket } from "node:dgram"
import { readdirSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import { AddressInUse, AddressUnavailable, BadConfig, SocketFailed } from "../../src/QuicError.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"
import { bind, contents, loopback, native, pattern, receive, skipped, transmit } from "./support.ts"

const live = it.live.skipIf(skipped)

/** Sets an int option on the descriptor behind a socket, which is not for users. */
const setOption = Effect.fnUntraced(function* (
  socket: UdpSocket.BoundSocket,
  level: number,
  option: number,
  value: number
) {
  const libc = yield* Effect.promise(() => import("../../src/internal/runtime/native/Libc.ts"))
  return libc.setOption(Number((socket as unknown as { fd: bigint }).fd), level, option, value)
})

const joined = (datagrams: ReadonlyArray<{ readonly bytes: Uint8Array }>): string =>
  Buffer.concat(datagrams.map(({ bytes }) => bytes)).toString("hex")

/** Whether a socket covers this host with its own port, or one nearby. */
const covers = (socket: UdpSocket.BoundSocket, host: string, by = 0) =>
  socket.covers?.(socket.addresses.intern(host, socket.local.port + by))

/** How many descriptors this process has. */
const descriptors = (): number => readdirSync("/proc/self/fd").length

/** Why a bind fails. */
const fails = (host: string, port: number) => Effect.map(Effect.flip(bind({ host, port })), ({ reason }) => reason)

describe("native sockets: trains of datagrams", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    live(`UDP_SEGMENT and UDP_GRO over ${host}: sizes, order, addresses and every ECN codepoint arrive`, () =>
      native(
        Effect.gen(function* () {
          const addresses = new AddressBook()
          const a = yield* bind({ host, port: 0 }, { addresses })
          const b = yield* bind({ host, port: 0 }, { addresses })
          const bytes = pattern(3700)
          for (const ecn of [0, 1, 2, 3]) {
            assert.isTrue(a.send(transmit(a, b.local, bytes, { ecn })))
            const datagrams = contents(yield* b.pull)
            assert.deepStrictEqual(
              datagrams.map((datagram) => datagram.bytes.length),
              [1200, 1200, 1200, 100]
            )
            assert.strictEqual(joined(datagrams), Buffer.from(bytes).toString("hex"))
            for (const datagram of datagrams) {
              assert.strictEqual(datagram.ecn, ecn)
              assert.strictEqual(datagram.remote, a.local)
              assert.strictEqual(datagram.local, b.local)
            }
          }
          assert.deepInclude(a.stats, { datagramsSent: 16, bytesSent: 14_800, sendErrors: {} })
          assert.deepInclude(b.stats, { datagramsReceived: 16, bytesReceived: 14_800, datagramsDropped: 0 })
        })
      )
    )
  }

  live("a transmit longer than a train leaves as several, whatever the segment size", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        for (const [segmentSize, length] of [
          [1452, 128 * 1024],
          [10, 2005],
          [40_000, 90_000],
          [65_507, 65_507]
        ] as const) {
          const bytes = pattern(length)
          assert.isTrue(a.send(transmit(a, b.local, bytes, { segmentSize })))
          const count = Math.ceil(length / segmentSize)
          const datagrams = yield* receive(b, count)
          assert.lengthOf(datagrams, count)
          for (const datagram of datagrams.slice(0, -1)) assert.lengthOf(datagram.bytes, segmentSize)
          assert.strictEqual(joined(datagrams), Buffer.from(bytes).toString("hex"))
        }
        assert.deepStrictEqual(a.stats.sendErrors, {})
      })
    )
  )

  live(
    "where the system cannot cut trains, the datagrams go out apart: none lost, none twice, none counted as refused",
    () =>
      native(
        Effect.gen(function* () {
          const [a, b] = [yield* bind(), yield* bind()]
          // Without checksums (SO_NO_CHECK) the kernel refuses UDP_SEGMENT with EINVAL.
          assert.isTrue(yield* setOption(a, 1, 11, 1))
          for (const length of [12_345, 130 * 100]) {
            const bytes = pattern(length)
            assert.isTrue(a.send(transmit(a, b.local, bytes, { segmentSize: 100, ecn: 2 })))
            const datagrams = yield* receive(b, Math.ceil(length / 100))
            assert.strictEqual(joined(datagrams), Buffer.from(bytes).toString("hex"))
            assert.isTrue(datagrams.every(({ ecn }) => ecn === 2))
          }
          assert.deepInclude(a.stats, { datagramsSent: 124 + 130, bytesSent: 12_345 + 13_000, sendErrors: {} })
        })
      )
  )

  live("the same remote is the same object, without a shared book too", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        const seen = new Set<unknown>()
        for (let i = 0; i < 20; i++) {
          a.send(transmit(a, b.local, Uint8Array.of(i)))
          for (const { remote } of contents(yield* b.pull)) seen.add(remote)
        }
        assert.strictEqual(seen.size, 1)
        assert.isTrue(seen.has(b.addresses.intern(a.local.host, a.local.port)))
      })
    )
  )
})

describe("native sockets: wildcards", () => {
  const hosts: Record<string, ReadonlyArray<string>> = {
    "0.0.0.0": ["127.0.0.1", "127.0.0.5", "127.9.9.9"],
    "::": ["127.0.0.1", "127.0.0.5", "::1"]
  }
  for (const [wildcard, locals] of Object.entries(hosts)) {
    live(`RFC 9000 section 9.5: one socket on ${wildcard} tells which address was asked, and answers from it`, () =>
      native(
        Effect.gen(function* () {
          const sockets = yield* UdpSocket.bindAll({ host: wildcard, port: 0 })
          assert.lengthOf(sockets, 1)
          const server = sockets[0]!
          assert.strictEqual(server.local.host, wildcard)
          for (const host of locals) {
            const client = yield* bind({ host: host.includes(":") ? "::1" : "127.0.0.1", port: 0 })
            const to = client.addresses.intern(host, server.local.port)
            assert.isTrue(client.send(transmit(client, to, pattern(2000), { ecn: 2 })))
            const asked = yield* receive(server, 2)
            for (const datagram of asked) {
              assert.strictEqual(datagram.local.key, to.key)
              assert.strictEqual(datagram.local.family, to.family)
              assert.strictEqual(datagram.remote.key, client.local.key)
              assert.strictEqual(datagram.ecn, 2)
              assert.isTrue(server.covers?.(datagram.local))
            }
            assert.strictEqual(asked[0]!.local, asked[1]!.local)
            const answer = transmit(server, asked[0]!.remote, pattern(2500), { local: asked[0]!.local, ecn: 1 })
            assert.isTrue(server.send(answer))
            for (const datagram of yield* receive(client, 3)) {
              assert.strictEqual(datagram.remote.key, to.key)
              assert.strictEqual(datagram.ecn, 1)
            }
          }
          assert.deepStrictEqual(server.stats.sendErrors, {})
        })
      )
    )
  }

  live("a wildcard covers its families and its port; other sockets are one address", () =>
    native(
      Effect.gen(function* () {
        const [four, both] = [yield* bind({ host: "0.0.0.0", port: 0 }), yield* bind({ host: "::", port: 0 })]
        assert.isTrue(covers(four, "192.0.2.1"))
        assert.isFalse(covers(four, "2001:db8::1"))
        assert.isFalse(covers(four, "192.0.2.1", 1))
        assert.isTrue(covers(both, "192.0.2.1"))
        assert.isTrue(covers(both, "2001:db8::1"))
        assert.isUndefined((yield* bind()).covers)
      })
    )
  )

  live("a source that is not of this host is refused and counted, and the next transmit leaves", () =>
    native(
      Effect.gen(function* () {
        const server = yield* bind({ host: "0.0.0.0", port: 0 })
        const client = yield* bind()
        const local = server.addresses.intern("198.51.100.1", server.local.port)
        server.send(transmit(server, client.local, pattern(10), { local }))
        assert.strictEqual(server.stats.datagramsSent, 0)
        const six = server.addresses.intern("2001:db8::1", server.local.port)
        server.send(transmit(server, client.local, pattern(10), { local: six }))
        server.send(transmit(server, client.local, pattern(20)))
        assert.lengthOf((yield* receive(client, 1))[0]!.bytes, 20)
        const { EAFNOSUPPORT, ...others } = server.stats.sendErrors
        assert.strictEqual(EAFNOSUPPORT, 1)
        // By routes, EINVAL or ENETUNREACH.
        assert.deepStrictEqual(Object.values(others), [1])
        assert.strictEqual(server.stats.datagramsSent, 1)
      })
    )
  )
})

describe("native sockets: bad input and faults", () => {
  live("G8: a socket that cannot be set up leaves no descriptor behind", () =>
    native(
      Effect.gen(function* () {
        const addresses = new AddressBook()
        const before = descriptors()
        addresses.intern = () => {
          throw new Error("no address")
        }
        for (let i = 0; i < 5; i++)
          assert.instanceOf((yield* Effect.flip(bind(loopback, { addresses }))).reason, SocketFailed)
        yield* Effect.sleep(1)
        assert.strictEqual(descriptors(), before)
      })
    )
  )

  live("G9: the interface of a link-local address is looked up again after a refusal, and now and then", () =>
    Effect.gen(function* () {
      const { AddressMemory, endpointOf, forgetEndpoint } = yield* Effect.promise(
        () => import("../../src/internal/runtime/native/Sockaddr.ts")
      )
      const book = new AddressBook()
      const address = book.intern("fe80::1%1", 9)
      const first = endpointOf(address)
      assert.strictEqual(first?.scope, 1)
      assert.strictEqual(endpointOf(address), first)
      forgetEndpoint(address)
      assert.notStrictEqual(endpointOf(address), first)
      // A new object of the book shows that the name was looked up.
      const memory = AddressMemory.of(book)
      const seen = new Set<UdpSocket.Address>()
      for (let i = 0; i < 10_000; i++) {
        seen.add(memory.find(10, 0x80fe, 0, 0, 0x0100_0000, 1))
        if (i % 1000 === 0) for (let k = 0; k < 5000; k++) book.intern("192.0.2.1", k)
      }
      assert.strictEqual(seen.size, 3)
      assert.isTrue(Array.from(seen).every(({ host }) => host.startsWith("fe80::1%")))
    })
  )

  live("fails with AddressInUse, AddressUnavailable or SocketFailed, and leaves no descriptor behind", () =>
    native(
      Effect.gen(function* () {
        const a = yield* bind()
        const before = descriptors()
        const inUse = yield* fails("127.0.0.1", a.local.port)
        assert.instanceOf(inUse, AddressInUse)
        assert.include(inUse.message, `127.0.0.1:${a.local.port}`)
        assert.instanceOf(yield* fails("0.0.0.0", a.local.port), AddressInUse)
        assert.instanceOf(yield* fails("::", a.local.port), AddressInUse)
        assert.instanceOf(yield* fails("198.51.100.1", 0), AddressUnavailable)
        for (const host of ["not an address", "fe80::1%nowhere"]) {
          const bad = yield* fails(host, 0)
          assert.instanceOf(bad, SocketFailed)
          assert.include(bad.message, host)
        }
        for (const port of [70_000, -1, 1.5]) assert.instanceOf(yield* fails("127.0.0.1", port), BadConfig)
        assert.strictEqual(descriptors(), before)
      })
    )
  )

  live("bytes that are not there never reach the system, whatever the offsets", () =>
    Effect.gen(function* () {
      const { MAX_DATAGRAM, sendApart, sendTrain } = yield* Effect.promise(
        () => import("../../src/internal/runtime/native/SendMessages.ts")
      )
      const bytes = new Uint8Array(2048)
      const edges = [-(2 ** 31), -1, 0, 1, 1199, 2047, 2048, 2049, 65_536, 2 ** 31, 2 ** 53, NaN, Infinity, -Infinity]
      // No descriptor: what passes the checks here ends as EBADF.
      const none = BigInt.asUintN(64, -1n)
      for (const at of edges) {
        for (const end of edges) {
          for (const segment of edges) {
            const inside = at >= 0 && end >= at && end <= bytes.length
            if (inside) assert.strictEqual(sendTrain(none, bytes, at, end, segment), 9)
            else assert.throws(() => sendTrain(none, bytes, at, end, segment), RangeError)
            if (inside && end > at && segment >= 1 && segment <= MAX_DATAGRAM) {
              assert.strictEqual(sendApart(none, bytes, at, end, segment), -9)
            } else {
              assert.throws(() => sendApart(none, bytes, at, end, segment), RangeError)
            }
          }
        }
      }
    })
  )

  live("nobody else may share the port, asking for it or not (SO_REUSEADDR)", () =>
    native(
      Effect.gen(function* () {
        const a = yield* bind()
        const other = createSocket({ type: "udp4", reuseAddr: true })
        const error = yield* Effect.callback<NodeJS.ErrnoException>((resume) => {
          other.once("error", (cause) => resume(Effect.succeed(cause)))
          other.once("listening", () => resume(Effect.die("it was shared")))
          other.bind(a.local.port, "127.0.0.1")
        })
        other.close()
        assert.strictEqual(error.code, "EADDRINUSE")
      })
    )
  )

  live("counts every datagram that the system refuses once, tells the caller, and carries on", () =>
    native(
      Effect.gen(function* () {
        const errors: Array<UdpSocket.SendError> = []
        const a = yield* bind(loopback, { onSendError: (error) => errors.push(error) })
        const b = yield* bind()
        const { local } = b
        a.send(transmit(a, local, new Uint8Array(65_520), { segmentSize: 65_520 }))
        a.send(transmit(a, local, new Uint8Array(70_000), { segmentSize: 70_000 }))
        a.send(transmit(a, a.addresses.intern("2001:db8::1", 9), new Uint8Array(50), { segmentSize: 20 }))
        a.send(transmit(a, a.addresses.intern("127.0.0.1", 0), new Uint8Array(20)))
        a.send(transmit(a, a.addresses.intern("not an address", 5), new Uint8Array(20)))
        assert.deepInclude(a.stats, {
          datagramsSent: 0,
          sendErrors: { EMSGSIZE: 2, EAFNOSUPPORT: 3, EADDRNOTAVAIL: 2 }
        })
        assert.deepStrictEqual(
          errors.map(({ code }) => code),
          ["EMSGSIZE", "EMSGSIZE", "EAFNOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT", "EADDRNOTAVAIL", "EADDRNOTAVAIL"]
        )
        assert.strictEqual(errors[0]!.remote, local)
        a.send(transmit(a, local, Uint8Array.of(1)))
        assert.lengthOf(yield* receive(b, 1), 1)
      })
    )
  )

  live("a listener of errors may send by itself, over another socket too", () =>
    native(
      Effect.gen(function* () {
        const [b, other] = [yield* bind(), yield* bind({ host: "::1", port: 0 })]
        const a: UdpSocket.BoundSocket = yield* bind(loopback, {
          onSendError: () => {
            other.send(transmit(other, other.local, Uint8Array.of(7), { ecn: 3 }))
          }
        })
        // Of each pair the first is too long to leave.
        a.send(transmit(a, b.local, new Uint8Array(65_520 + 30), { segmentSize: 65_520 }))
        const [rest] = yield* receive(b, 1)
        assert.lengthOf(rest!.bytes, 30)
        assert.strictEqual(rest!.ecn, 0)
        assert.deepInclude((yield* receive(other, 1))[0], { bytes: Uint8Array.of(7), ecn: 3 })
      })
    )
  )

  for (const reading of [true, false]) {
    live(
      `ECONNREFUSED by ICMP is told once for each datagram, and costs no other one; a reader waits: ${reading}`,
      () =>
        native(
          Effect.gen(function* () {
            const errors: Array<string> = []
            const a = yield* bind(loopback, { onSendError: ({ code, remote }) => errors.push(`${code} ${remote}`) })
            const b = yield* bind()
            const nobody = yield* Effect.scoped(Effect.map(bind(), ({ local }) => local))
            const reader = reading ? yield* Effect.forkChild(a.pull) : undefined
            yield* Effect.sleep(5)
            for (let i = 0; i < 3; i++) {
              a.send(transmit(a, nobody, Uint8Array.of(i)))
              a.send(transmit(a, b.local, Uint8Array.of(i)))
            }
            assert.deepStrictEqual(
              (yield* receive(b, 3)).map(({ bytes }) => bytes[0]),
              [0, 1, 2]
            )
            yield* Effect.sleep(20)
            b.send(transmit(b, a.local, Uint8Array.of(9)))
            const burst = reader === undefined ? yield* a.pull : yield* Fiber.join(reader)
            assert.deepStrictEqual(contents(burst)[0]!.bytes, Uint8Array.of(9))
            // Those that no later send met are found by the reader when it comes again.
            const again = yield* Effect.forkChild(a.pull)
            yield* Effect.sleep(20)
            yield* Fiber.interrupt(again)
            assert.deepStrictEqual(
              errors,
              Array.from({ length: 3 }, () => `ECONNREFUSED ${nobody}`)
            )
            assert.deepStrictEqual(a.stats.sendErrors, { ECONNREFUSED: 3 })
            assert.strictEqual(a.stats.datagramsSent, 6)
          })
        )
    )
  }

  live("a full socket (EAGAIN) says so, keeps what it took, and is writable again", (context) =>
    native(
      Effect.gen(function* () {
        // Datagrams to a neighbour that nobody answers for stay in the send buffer until the kernel gives it up.
        const own = Object.values(networkInterfaces())
          .flatMap((entries) => entries ?? [])
          .find((entry) => !entry.internal && entry.family === "IPv4" && entry.netmask.startsWith("255.255.255."))
        if (own === undefined) return context.skip("no interface beside loopback to fill the buffer of")
        const a = yield* bind({ host: own.address, port: 0 }, { socketSendBuffer: 4096 })
        const octets = own.address.split(".")
        octets[3] = octets[3] === "251" ? "250" : "251"
        const nobody = a.addresses.intern(octets.join("."), 9)
        let count = 0
        let room = true
        while (room && count++ < 100) room = a.send(transmit(a, nobody, pattern(1000)))
        if (room) return context.skip("the buffer does not fill up here")
        assert.strictEqual(a.stats.datagramsSent, count - 1)
        assert.isFalse(a.retained)
        // It goes on taking and says so every time, in order and up to its bound.
        const big = new Uint8Array(1024 * 1024)
        for (let i = 0; i < 4; i++) assert.isFalse(a.send(transmit(a, nobody, big)))
        assert.deepInclude(a.stats, { datagramsSent: count - 1, sendErrors: { EAGAIN: Math.ceil(big.length / 1200) } })
        const before = process.cpuUsage()
        const writable = yield* Effect.forkChild(a.writable)
        yield* Effect.sleep(200)
        const { user, system } = process.cpuUsage(before)
        assert.isBelow(user + system, 120_000)
        assert.isUndefined(writable.pollUnsafe())
        // SO_SNDBUFFORCE or SO_SNDBUF: now there is room.
        for (const option of [7, 32]) yield* setOption(a, 1, option, 8 * 1024 * 1024)
        yield* Fiber.join(writable)
        assert.strictEqual(a.stats.datagramsSent, count + 3 * Math.ceil(big.length / 1200))
        assert.strictEqual(a.stats.bytesSent, count * 1000 + 3 * big.length)
        assert.isTrue(a.send(transmit(a, a.local, pattern(10))))
      })
    )
  )
})

describe("native sockets: readers", () => {
  live("a waiting reader wakes for what arrives, as often as it does", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        for (let i = 0; i < 50; i++) {
          const reader = yield* Effect.forkChild(b.pull)
          yield* Effect.sleep(1)
          a.send(transmit(a, b.local, Uint8Array.of(i)))
          assert.deepStrictEqual(contents(yield* Fiber.join(reader))[0]!.bytes, Uint8Array.of(i))
        }
      })
    )
  )

  live("an interrupted reader leaves nothing behind: the next one gets the datagrams", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        for (let i = 0; i < 20; i++) {
          const reader = yield* Effect.forkChild(b.pull)
          yield* Effect.yieldNow
          if (i % 2 === 0) a.send(transmit(a, b.local, Uint8Array.of(i)))
          yield* Fiber.interrupt(reader)
          if (i % 2 === 1) a.send(transmit(a, b.local, Uint8Array.of(i)))
          const exit = yield* Fiber.await(reader)
          const burst = Exit.isSuccess(exit) ? exit.value : yield* b.pull
          assert.strictEqual(contents(burst)[0]!.bytes[0], i)
        }
      })
    )
  )

  live("a burst stays as it is until the next pull, whatever other sockets receive", () =>
    native(
      Effect.gen(function* () {
        const [a, b, c] = [yield* bind(), yield* bind(), yield* bind()]
        a.send(transmit(a, b.local, Uint8Array.of(1, 1)))
        const first = yield* b.pull
        a.send(transmit(a, b.local, Uint8Array.of(2, 2)))
        a.send(transmit(a, c.local, Uint8Array.of(3, 3)))
        const other = yield* c.pull
        assert.deepStrictEqual(contents(first)[0]!.bytes, Uint8Array.of(1, 1))
        assert.deepStrictEqual(contents(other)[0]!.bytes, Uint8Array.of(3, 3))
        assert.deepStrictEqual(contents(yield* b.pull)[0]!.bytes, Uint8Array.of(2, 2))
      })
    )
  )

  live("datagrams wait in the kernel for an absent reader, and cost no processor time meanwhile", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        a.send(transmit(a, b.local, pattern(100), { segmentSize: 10 }))
        yield* Effect.sleep(20)
        const before = process.cpuUsage()
        yield* Effect.sleep(200)
        const { user, system } = process.cpuUsage(before)
        assert.isBelow(user + system, 100_000)
        assert.strictEqual(b.stats.datagramsReceived, 0)
        assert.lengthOf(yield* receive(b, 10), 10)
        a.send(transmit(a, b.local, pattern(1)))
        assert.lengthOf(yield* receive(b, 1), 1)
      })
    )
  )

  live("counts what the kernel dropped for want of room (SO_RXQ_OVFL)", () =>
    native(
      Effect.gen(function* () {
        const a = yield* bind()
        const b = yield* bind(loopback, { socketReceiveBuffer: 65_536 })
        for (let i = 0; i < 100; i++) a.send(transmit(a, b.local, new Uint8Array(12_000)))
        yield* Effect.sleep(5)
        const more = Effect.map(Effect.timeoutOption(b.pull, 20), Option.isSome)
        while (yield* more);
        const { datagramsReceived: received } = b.stats
        assert.isBelow(received, 1000)
        a.send(transmit(a, b.local, Uint8Array.of(1)))
        yield* b.pull
        // The kernel counts trains, not their datagrams.
        assert.strictEqual(b.stats.datagramsDropped, 100 - received / 10)
      })
    )
  )

  live("a reader that gives the memory of its burst away gets new memory", () =>
    native(
      Effect.gen(function* () {
        const [a, b] = [yield* bind(), yield* bind()]
        for (let i = 0; i < 10; i++) {
          a.send(transmit(a, b.local, Uint8Array.of(i)))
          const burst = yield* b.pull
          assert.strictEqual(burst.slab[burst.offset[0]!], i)
          const { buffer } = burst.slab
          if (i % 3 === 0) structuredClone(buffer as ArrayBuffer, { transfer: [buffer as ArrayBuffer] })
          if (i % 3 === 1) burst.slab = new Uint8Array(1)
        }
      })
    )
  )
})

describe("native sockets: lives", () => {
  live("closing fails the waiting reader, frees the port, and refuses sends", () =>
    native(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const socket = yield* Scope.provide(bind(), scope)
        const reader = yield* Effect.forkChild(Effect.flip(socket.pull))
        yield* Effect.sleep(2)
        yield* Scope.close(scope, Exit.void)
        assert.instanceOf((yield* Fiber.join(reader)).reason, SocketFailed)
        assert.instanceOf((yield* Effect.flip(socket.pull)).reason, SocketFailed)
        const { local } = socket
        assert.isTrue(socket.send(transmit(socket, local, Uint8Array.of(1))))
        assert.deepStrictEqual(socket.stats.sendErrors, { ERR_SOCKET_DGRAM_NOT_RUNNING: 1 })
        assert.instanceOf(
          (yield* Effect.flip(socket.transmit([transmit(socket, local, pattern(1))]))).reason,
          SocketFailed
        )
        yield* bind({ host: "127.0.0.1", port: local.port })
      })
    )
  )

  live("sockets that close while they receive", () =>
    native(
      Effect.gen(function* () {
        const a = yield* bind()
        for (let i = 0; i < 40; i++) {
          const scope = yield* Scope.make()
          const b = yield* Scope.provide(bind(), scope)
          const reader = yield* Effect.forkChild(Effect.flip(Effect.forever(b.pull)))
          const flood = yield* Effect.forkChild(
            Effect.forever(
              Effect.andThen(
                Effect.sync(() => a.send(transmit(a, b.local, pattern(5000)))),
                Effect.yieldNow
              )
            )
          )
          yield* Effect.sleep(i % 4)
          yield* Scope.close(scope, Exit.void)
          assert.instanceOf((yield* Fiber.join(reader)).reason, SocketFailed)
          yield* Fiber.interrupt(flood)
        }
      })
    )
  )

  live("thousands of sockets, opened, used and closed, leave no descriptor behind", () =>
    native(
      Effect.gen(function* () {
        yield* Effect.scoped(bind())
        const before = descriptors()
        const one = Effect.scoped(
          Effect.gen(function* () {
            const socket = yield* bind()
            socket.send(transmit(socket, socket.local, pattern(3), { segmentSize: 1 }))
            assert.lengthOf(yield* receive(socket, 3), 3)
          })
        )
        yield* Effect.repeat(one, { times: 399 })
        yield* Effect.forEach(Array.from({ length: 600 }), () => one, { concurrency: 100, discard: true })
        assert.strictEqual(descriptors(), before)
      })
    )
  )
})
