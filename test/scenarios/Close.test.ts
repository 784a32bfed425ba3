/** How connections end: closing, draining, stateless reset, and ends during the handshake (RFC 9000 section 10). */
import { assert, describe, it } from "@effect/vitest"
import { bytesOf } from "../../src/internal/wire/ByteText.ts"
import { writeConnectionClose, writePing } from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import { capture, frames, inject, sendRaw } from "../support/Hostile.ts"
import { Drain, Pair, pattern } from "../support/Machines.ts"
import { ending, establish, established, exchange, say, seeds, send, transportCode } from "../support/Scenario.ts"

const idle = (pair: Pair): void => {
  pair.run(pair.simulator.now + 100_000)
  assert.strictEqual(pair.simulator.next(), Infinity, "events that are left")
  assert.strictEqual(pair.client.endpoint.stats().connections, 0)
  assert.strictEqual(pair.server.endpoint.stats().connections, 0)
}

describe("RFC 9000 10.2: immediate close", () => {
  it.each(["client", "server"] as const)(
    "code and reason of the %s's application arrive; then nothing is left",
    (role) => {
      const pair = established()
      const [own, peer] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client]
      const connection = role === "client" ? pair.connection : pair.accepted
      const code = 2 ** 40 + 7
      connection.close(code, "so long — 再见", pair.simulator.now)
      pair.run(pair.simulator.now + 100)
      assert.deepStrictEqual(ending(own), { kind: "application", initiator: "local", code, reason: "so long — 再见" })
      assert.deepStrictEqual(ending(peer), { kind: "application", initiator: "peer", code, reason: "so long — 再见" })
      idle(pair)
    }
  )

  it("a reason that is too long is cut between characters", () => {
    const pair = established()
    pair.connection.close(1, "é".repeat(5000), pair.simulator.now)
    pair.run(pair.simulator.now + 100)
    const info = ending(pair.server)
    if (info.kind !== "application") return assert.fail(info.kind)
    assert.isAbove(info.reason.length, 100)
    assert.match(info.reason, /^é+$/)
  })

  it("closing once is enough, and both at once is fine", () => {
    const pair = established()
    pair.connection.close(1, "a", pair.simulator.now)
    pair.connection.close(2, "b", pair.simulator.now)
    pair.accepted.close(3, "c", pair.simulator.now)
    pair.run(pair.simulator.now + 100)
    pair.connection.close(4, "d", pair.simulator.now)
    assert.deepInclude(ending(pair.client), { initiator: "local", code: 1 })
    assert.deepInclude(ending(pair.server), { initiator: "local", code: 3 })
    idle(pair)
  })

  it("everyone who waits is woken, what arrived can be read, and what is unsent is told", () => {
    const pair = established()
    const stream = pair.connection.streams.open(true)!
    let woken = 0
    stream.write(pattern(0, 900_000))
    stream.readWaiter = stream.writeWaiter = stream.flushWaiter = () => void woken++
    pair.connection.streams.setAcceptWaiter(true, () => void woken++)
    pair.connection.datagrams.readWaiter = () => void woken++
    pair.connection.wake()
    pair.until(() => pair.accepted.streams.bytesReceived > 100_000, 2000)
    pair.connection.close(5, "enough", pair.simulator.now)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(woken, 5)
    assert.isAbove(pair.connection.streams.bufferedBytes, 100_000)
    assert.isTrue(stream.closed)
    assert.deepStrictEqual(stream.error, pair.connection.closeInfo)
    assert.isFalse(stream.write(pattern(0, 1)))
    assert.isUndefined(pair.connection.streams.open(true))
    const received = pair.accepted.streams.accept(true)!
    const drain = new Drain(pair.accepted, received)
    assert.isAbove(drain.received, 100_000)
    assert.strictEqual(drain.wrong, -1)
    assert.isFalse(drain.finished)
    assert.isTrue(received.closed)
    idle(pair)
  })

  it("10.2.1: while closing, every 1st, 2nd, 4th, ... packet is answered, and only with the same close", () => {
    const pair = established()
    exchange(pair, 100_000, 2000, "before")
    send(pair.accepted, pair.connection, 10_000_000)
    pair.run(pair.simulator.now + 200)
    // The server never hears of it.
    const sent = capture(pair.client)
    const before = pair.client.tap!
    pair.client.tap = (...datagram) => before(...datagram) && false
    let received = 0
    pair.server.tap = () => {
      received++
      return true
    }
    pair.connection.close(9, "deaf", pair.simulator.now)
    const deadline = pair.connection.nextTimeout()
    const largest = pair.connection.core.largestPto()
    assert.closeTo(deadline, pair.simulator.now + 3 * largest, 1e-6)
    pair.run(deadline - 1)
    assert.isAbove(received, 10)
    assert.isAtMost(sent.length, 2 + Math.ceil(Math.log2(received)))
    assert.isAbove(sent.length, 2)
    assert.strictEqual(new Set(sent.map(({ bytes }) => bytes.length)).size, 1)
    pair.run(deadline)
    assert.strictEqual(pair.connection.state, "closed")
  })

  it("10.2.2: while draining, nothing is sent", () => {
    const pair = established()
    exchange(pair, 100_000, 2000, "before")
    pair.run(pair.simulator.now + 100)
    const sent = capture(pair.server)
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 11)
    assert.strictEqual(pair.accepted.state, "draining")
    sent.length = 0
    for (let i = 0; i < 20; i++) inject(pair.simulator, pair.accepted, frames(writePing), { level: Level.oneRtt })
    sent.length = 0
    pair.run(pair.simulator.now + 15)
    assert.strictEqual(sent.length, 0)
  })

  it("a close that is lost is said again to whoever still talks", () => {
    for (const seed of seeds(20)) {
      const pair = established({ seed, links: [{ mbps: 40, delay: 10, queue: 100, loss: 0.3 }] })
      send(pair.accepted, pair.connection, 1_000_000)
      pair.run(pair.simulator.now + 300)
      pair.connection.close(77, "again", pair.simulator.now)
      pair.until(() => pair.server.closes.length > 0, pair.simulator.now + 60_000, 5)
      const info = ending(pair.server)
      // At 30 % loss the close may never get through; then the reset of a forgotten connection or silence ends it.
      assert.include(["application", "statelessReset", "idleTimeout"], info.kind, `seed ${seed}`)
      idle(pair)
    }
  })

  it("a protocol error of the peer ends both sides with the same code, frame type and reason", () => {
    const pair = established()
    inject(pair.simulator, pair.connection, new Uint8Array([0x40, 0x40]))
    pair.run(pair.simulator.now + 100)
    const seen = ending(pair.server)
    const told = ending(pair.client)
    assert.deepInclude(seen, { kind: "transport", initiator: "local" })
    assert.deepInclude(told, { kind: "transport", initiator: "peer" })
    assert.strictEqual(transportCode(pair.client), transportCode(pair.server))
    if (seen.kind === "transport" && told.kind === "transport") {
      assert.strictEqual(told.reason, seen.reason)
      assert.strictEqual(told.frameType, seen.frameType)
    }
    idle(pair)
  })
})

describe("RFC 9000 10.2.3: close during the handshake", () => {
  it("a client that closes before it has sent anything tells the server, without its words", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    pair.connection.close(5, "secret words", 0)
    pair.run(200)
    assert.isAtLeast(sent[0]!.bytes.length, 1200)
    assert.deepStrictEqual(ending(pair.server), {
      kind: "transport",
      initiator: "peer",
      code: TransportError.application,
      reason: "",
      frameType: 0
    })
    idle(pair)
  })

  it.each([5, 11, 21, 25, 31, 35, 41])("a client that closes at %d ms is understood", (at) => {
    const pair = new Pair()
    pair.run(at)
    pair.connection.close(5, "words", at)
    pair.run(at + 200)
    const info = ending(pair.server)
    assert.isTrue(
      (info.kind === "transport" && info.code === TransportError.application) ||
        (info.kind === "application" && info.code === 5),
      JSON.stringify(info)
    )
    assert.strictEqual(pair.server.accepted.length, 1)
    idle(pair)
  })

  /** A client that closes in the moment in which its handshake is complete: nothing of it has left. */
  const closeAtOnce = (pair: Pair): void => {
    pair.connection.listener = {
      ...pair.connection.listener!,
      onEstablished: () => pair.connection.close(5, "words", pair.simulator.now)
    }
  }

  it("a client that closes as soon as its handshake is complete completes the server's too, in one datagram", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    closeAtOnce(pair)
    pair.run(200)
    assert.deepStrictEqual(ending(pair.server), {
      kind: "application",
      initiator: "peer",
      code: 5,
      reason: "words"
    })
    assert.isDefined(pair.accepted.handshake)
    assert.strictEqual(sent.length, 2)
    // Three times the PTO of 20 ms of RTT, not of the RTT that is assumed at first.
    assert.isBelow(pair.accepted.nextTimeout(), 400)
    idle(pair)
  })

  it("and when that datagram is lost, the server's next one is answered by a close that it can read", () => {
    // So that the server repeats its flight while the client is still there.
    const pair = new Pair({ server: { settings: { initialRtt: 20 } } })
    const sent = capture(pair.client)
    const count = pair.client.tap!
    pair.client.tap = (...datagram) => count(...datagram) && sent.length !== 2
    closeAtOnce(pair)
    pair.run(1000)
    assert.isAbove(sent.length, 2)
    assert.deepInclude(ending(pair.server), { kind: "transport", code: TransportError.application, reason: "" })
    idle(pair)
  })

  it.each([11, 15, 21, 25, 31, 35])("a server that closes at %d ms is understood", (at) => {
    const pair = new Pair()
    pair.run(at)
    pair.accepted.close(6, "words", at)
    pair.run(at + 200)
    const info = ending(pair.client)
    assert.isTrue(
      (info.kind === "transport" && info.code === TransportError.application) ||
        (info.kind === "application" && info.code === 6),
      JSON.stringify(info)
    )
    idle(pair)
  })

  it("a server that refuses at once reaches a client that has only Initial keys, in Initial and Handshake packets", () => {
    const pair = new Pair()
    pair.server.tap = () => false
    pair.run(15)
    const sent = capture(pair.server)
    pair.server.tap = (bytes, from, to, now) => {
      sent.push({ bytes: bytes.slice(), from, to, at: now })
      return true
    }
    pair.accepted.close(6, "", 15)
    pair.run(40)
    assert.strictEqual(transportCode(pair.client), TransportError.application)
    idle(pair)
  })

  it("no ALPN in common: both sides end with CRYPTO_ERROR 0x178 (RFC 7301 section 3.2)", () => {
    const pair = new Pair()
    const other = pair.client.connect(pair.server, ["other"])
    pair.run(1000)
    assert.strictEqual(other.closeInfo?.kind, "transport")
    assert.deepInclude(other.closeInfo, { initiator: "peer", code: TransportError.crypto + 120 })
    assert.deepInclude(pair.server.closes[0], { initiator: "local", code: TransportError.crypto + 120 })
    assert.strictEqual(pair.connection.state, "established")
  })

  it("with loss both sides always come to an end", () => {
    for (const seed of seeds(60)) {
      const pair = new Pair({ seed, links: [{ mbps: 40, delay: 10, queue: 100, loss: 0.3 }] })
      const at = (seed * 7) % 60
      pair.run(at)
      const server = pair.server.accepted[0]
      if (seed % 2 === 0 || server === undefined) pair.connection.close(1, "", at)
      else server.close(2, "", at)
      idle(pair)
      assert.strictEqual(pair.client.closes.length, 1, `seed ${seed}`)
    }
  })
})

const gone = (): Pair => {
  const pair = established()
  exchange(pair, 10_000, 1000, "before")
  pair.run(pair.simulator.now + 200)
  pair.server.tap = () => false
  pair.accepted.close(1, "never heard", pair.simulator.now)
  pair.run(pair.simulator.now + 5000)
  assert.strictEqual(pair.server.endpoint.stats().connections, 0)
  assert.strictEqual(pair.connection.state, "established")
  pair.server.tap = undefined
  return pair
}

describe("RFC 9000 10.3: stateless reset", () => {
  it("a packet for a connection that is forgotten is answered by a reset, which ends the peer at once", () => {
    const pair = gone()
    const sent = capture(pair.client)
    const answers = capture(pair.server)
    say(pair.connection, pattern(0, 1000))
    pair.run(pair.simulator.now + 25)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
    assert.strictEqual(pair.server.endpoint.stats().statelessResetsSent, answers.length)
    assert.isAbove(answers.length, 0)
    for (const [i, { bytes }] of answers.entries()) {
      assert.isBelow(bytes.length, sent[i]!.bytes.length)
      assert.isAtLeast(bytes.length, 21)
      assert.strictEqual(bytes[0]! & 0xc0, 0x40)
    }
    idle(pair)
  })

  it("10.3.3: a reset is shorter than what caused it, so two who know nothing fall silent", () => {
    const pair = new Pair()
    pair.run(1000)
    const bytes = new Uint8Array(200).fill(0x55)
    const counts = [capture(pair.client), capture(pair.server)]
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 5000)
    assert.isAbove(counts[1]!.length, 0)
    assert.isBelow(counts[0]!.length + counts[1]!.length, 30)
    for (let length = 0; length <= 21; length++) {
      sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes.subarray(0, length))
    }
    counts[1]!.length = 0
    pair.run(pair.simulator.now + 1000)
    assert.strictEqual(counts[1]!.length, 0)
  })

  it("a wrong token, or the right one in a packet that is too short, ends nothing", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    const token = bytesOf(pair.connection.paths[0]!.remoteIds.active!.resetToken!)
    assert.strictEqual(token.length, 16)
    const reset = (length: number): Uint8Array => {
      const bytes = new Uint8Array(length).fill(0x45)
      bytes.set(token, length - 16)
      return bytes
    }
    const to = pair.client.addresses[0]!
    const from = pair.server.addresses[0]!
    const wrong = reset(40)
    wrong[39]! ^= 1
    sendRaw(pair.simulator, from, to, wrong)
    sendRaw(pair.simulator, from, to, reset(20))
    pair.run(pair.simulator.now + 50)
    assert.strictEqual(pair.connection.state, "established")
    sendRaw(pair.simulator, from, to, reset(21))
    pair.run(pair.simulator.now + 50)
    assert.deepStrictEqual(ending(pair.client), { kind: "statelessReset" })
    // The server was not told, and ends by itself.
    idle(pair)
  })

  it("a client's CONNECTION_CLOSE after the end changes nothing", () => {
    const pair = gone()
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => writeConnectionClose(w, 3, -1, "late"))
    )
    pair.run(pair.simulator.now + 50)
    assert.strictEqual(pair.server.closes.length, 1)
    idle(pair)
  })

  it("nothing that is said of an ended connection comes back to life", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    establish(pair)
    pair.connection.close(0, "", pair.simulator.now)
    pair.run(pair.simulator.now + 5000)
    const answers = capture(pair.server)
    for (const { bytes } of sent) sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 15_000)
    // A replayed first Initial is a first Initial: it may open a connection, which nobody completes.
    assert.isAtMost(pair.server.accepted.length, 2)
    assert.isAbove(answers.length, 0)
    idle(pair)
  })
})
