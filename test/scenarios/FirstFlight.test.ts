/**
 * What happens around the first packets: the amplification limit, version negotiation, Retry, and those who meddle
 * (RFC 9000 sections 6, 8.1, 14.1, 17.2.5).
 */
import { assert, describe, it } from "@effect/vitest"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import { retryTag } from "../../src/internal/crypto/RetryIntegrity.ts"
import { ed25519FromSeed, issueCertificate } from "../../src/internal/tls/certificates/IssueCertificate.ts"
import type { Identity } from "../../src/internal/tls/Identity.ts"
import {
  encodeRetry,
  encodeVersionNegotiation,
  PacketHeader,
  PacketType
} from "../../src/internal/wire/PacketHeader.ts"
import { Level, TransportError, Version } from "../../src/internal/wire/Protocol.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"
import { capture, forge, sendRaw } from "../support/Hostile.ts"
import type { Captured } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import type { NodeOptions } from "../support/Machines.ts"
import { ending, establish, established, exchange, seeds, transportCode } from "../support/Scenario.ts"

const key = ed25519FromSeed(new Uint8Array(32).fill(9))
/** A chain of ten certificates of about 1 kB each. */
const longChain: Identity = {
  certificates: Array.from(
    { length: 10 },
    (_unused, i) =>
      issueCertificate({
        key,
        subject: `server ${i}`,
        names: Array.from({ length: 40 }, (_, n) => `host-${i}-${n}.server.test`),
        notBefore: 0,
        notAfter: 4_000_000_000_000,
        random: seededBytes(i)
      }).certificate
  ),
  privateKey: key
}

const DELAY = 10

/** Counts what reaches the server, and checks at each datagram that it sends to an unvalidated client: at most 3x. */
const watchAmplification = (pair: Pair, lost: (index: number) => boolean): { datagrams: number; blocked: boolean } => {
  const arrivals: Array<readonly [at: number, bytes: number]> = []
  const seen = { datagrams: 0, blocked: false }
  let sent = 0
  let index = 0
  pair.client.tap = (bytes, _from, _to, now) => {
    if (lost(index++)) return false
    arrivals.push([now + DELAY, bytes.length])
    return true
  }
  pair.server.tap = (bytes, _from, _to, now) => {
    sent += bytes.length
    seen.datagrams++
    if (pair.accepted.paths[0]!.validated) return true
    let received = 0
    for (const [at, length] of arrivals) if (at <= now) received += length
    assert.isAtMost(sent, 3 * received, `at ${now}`)
    if (sent + 1200 > 3 * received) seen.blocked = true
    return true
  }
  return seen
}

const headers = (datagram: Uint8Array): Array<PacketHeader> => {
  const found: Array<PacketHeader> = []
  for (let at = 0; at < datagram.length;) {
    const header = new PacketHeader()
    assert.strictEqual(header.parse(datagram, at, datagram.length, 8), 0)
    found.push(header)
    at = header.end
  }
  return found
}

const bytesOf = (datagram: Uint8Array, start: number, length: number): Uint8Array =>
  datagram.slice(start, start + length)

describe("RFC 9000 8.1: address validation of the handshake", () => {
  it("a long chain waits at three times what came in, and goes on with the client's acknowledgements", () => {
    const pair = new Pair({ links: [{ delay: DELAY }], server: { identity: longChain } })
    const seen = watchAmplification(pair, () => false)
    assert.isAtMost(establish(pair), 7 * DELAY)
    assert.isTrue(seen.blocked)
    assert.isAbove(seen.datagrams, 9)
  })

  it("RFC 9002 6.2.2.1: probes of the client free a server that is stuck because client packets 2 to 7 were lost", () => {
    const pair = new Pair({ links: [{ delay: DELAY }], server: { identity: longChain } })
    watchAmplification(pair, (index) => index >= 1 && index <= 6)
    const time = establish(pair)
    assert.isAbove(time, 50)
    assert.isBelow(time, 2000)
    exchange(pair, 10_000, 2000, "after the probes")
  })

  it("the same with every run of lost client packets, and with random loss", () => {
    const settings = { handshakeTimeout: 60_000, idleTimeout: 60_000 }
    for (let from = 0; from < 4; from++) {
      for (let to = from; to < 7; to++) {
        const pair = new Pair({
          links: [{ delay: DELAY }],
          client: { settings },
          server: { identity: longChain, settings }
        })
        watchAmplification(pair, (index) => index >= from && index <= to)
        assert.isAbove(establish(pair, 60_000), 0, `client packets ${from} to ${to} lost`)
      }
    }
    for (const seed of seeds(40)) {
      const pair = new Pair({
        seed,
        links: [{ delay: DELAY, backward: { loss: 0.3 } }],
        client: { settings },
        server: { identity: longChain, settings }
      })
      watchAmplification(pair, () => pair.simulator.random.chance(0.3))
      assert.isAbove(establish(pair, 60_000), 0, `seed ${seed}`)
    }
  })
})

describe("RFC 9002 6.2.3: what the other side sends says that the first flight is lost", () => {
  const identity = { ...longChain, certificates: longChain.certificates.slice(0, 2) }

  /** When the handshake is confirmed if the datagrams of these indexes are lost. */
  const losing = (client: ReadonlyArray<number>, server: ReadonlyArray<number>) => {
    const pair = new Pair({ links: [{ delay: DELAY }], server: { identity } })
    const sent = { client: 0, server: 0 }
    pair.client.tap = () => !client.includes(sent.client++)
    pair.server.tap = () => !server.includes(sent.server++)
    return { time: establish(pair), pair }
  }

  it("a client that reads nothing of the server for want of keys asks again at once, and is answered at once", () => {
    assert.strictEqual(losing([], []).time, 4 * DELAY)
    for (const lost of [[0], [0, 1]]) assert.isAtMost(losing([], lost).time, 6 * DELAY, `${lost.join(", ")} lost`)
    assert.isAtMost(losing([1], [0]).time, 6 * DELAY, "and the client's acknowledgement")
  })

  it("a server that hears the ClientHello again sends its flight again, before its own probe timeout", () => {
    // All of the first flight is lost: only the client's probe timeout tells, and its own is as long.
    const { time, pair } = losing([0], [0])
    const { primary } = pair.accepted.core.paths
    assert.strictEqual(primary.recovery.probeTimeouts, 0)
    assert.isAtMost(time, 1000 + 6 * DELAY)
  })

  it("does so once in a connection", () => {
    const pair = new Pair({ links: [{ delay: DELAY }], server: { identity } })
    const hellos: Array<number> = []
    pair.client.tap = (_bytes, _from, _to, now) => hellos.push(now) > 0
    // Nothing with an Initial in it ever comes.
    pair.server.tap = (bytes) => headers(bytes)[0]!.level !== Level.initial
    pair.run(900)
    assert.deepStrictEqual(hellos, [0, 2 * DELAY, 2 * DELAY])
  })
})

describe("RFC 9000 12.2, 14.1: datagrams of the first flights", () => {
  it("every datagram with an Initial has at least 1200 bytes, and levels share datagrams", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    const answered = capture(pair.server)
    establish(pair)
    for (const { bytes } of [...sent, ...answered]) {
      if ((bytes[0]! & 0x80) === 0) continue
      if (headers(bytes)[0]!.level === Level.initial) assert.isAtLeast(bytes.length, 1200)
    }
    assert.deepStrictEqual(
      headers(answered[0]!.bytes).map((header) => header.level),
      [Level.initial, Level.handshake]
    )
    assert.deepStrictEqual(
      headers(sent[1]!.bytes).map((header) => header.level),
      [Level.initial, Level.handshake]
    )
  })

  it("a 1-RTT packet behind a Handshake packet is read, and its datagram counts once", () => {
    const pair = new Pair()
    const sent: Array<Uint8Array> = []
    pair.client.tap = (bytes) => sent.push(bytes.slice()) === 1
    pair.until(() => pair.connection.state === "established", 100)
    const finished = sent[1]!
    const ping = forge(pair.connection, new Uint8Array([1, 0, 0]), pair.simulator.now)
    const both = new Uint8Array(finished.length + ping.length)
    both.set(finished)
    both.set(ping, finished.length)
    const { bytesReceived, packetsReceived } = pair.accepted.stats()
    assert.strictEqual(bytesReceived, 1200)
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, both)
    pair.run(pair.simulator.now + 15)
    assert.isTrue(pair.accepted.confirmed)
    assert.strictEqual(pair.accepted.stats().packetsReceived, packetsReceived + 3)
    assert.strictEqual(pair.accepted.stats().bytesReceived, 1200 + both.length)
  })

  it("an Initial in a smaller datagram opens nothing and is not answered", () => {
    const pair = new Pair()
    const [first] = capture(pair.client)
    assert.isUndefined(first)
    pair.client.tap = () => false
    const answers = capture(pair.server)
    pair.run(1)
    const whole = forge(pair.connection, new Uint8Array([1]), 1, { level: Level.initial })
    assert.strictEqual(whole.length, 1200)
    const { version } = pair.connection.core.handshake
    assert.strictEqual(version, Version.v1)
    for (const length of [1199, 600, 100, 50]) {
      // Cutting spoils the packet too, so one that is whole but short is sent as well.
      sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, whole.subarray(0, length))
    }
    const short = forge(pair.connection, new Uint8Array([1, 0, 0, 0]), 1, { level: Level.initial, unpadded: true })
    assert.isBelow(short.length, 100)
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, short)
    pair.run(100)
    assert.strictEqual(pair.server.endpoint.stats().connections, 0)
    assert.strictEqual(pair.server.endpoint.stats().datagramsDropped, 5)
    assert.strictEqual(answers.length, 0)
    // The same packet, padded, does open one.
    sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, whole)
    pair.run(200)
    assert.strictEqual(pair.server.endpoint.stats().connections, 1)
  })
})

/** A client whose packets reach nobody: the test answers in the place of a server. */
const stranded = (
  options: NodeOptions = {}
): { pair: Pair; sent: Array<Captured>; first: PacketHeader; bytes: Uint8Array } => {
  const pair = new Pair({ client: options })
  pair.client.tap = () => false
  const sent = capture(pair.client)
  pair.run(1)
  const bytes = sent[0]!.bytes
  return { pair, sent, first: headers(bytes)[0]!, bytes }
}

const answer = (pair: Pair, bytes: Uint8Array, wait = 50): void => {
  sendRaw(pair.simulator, pair.server.addresses[0]!, pair.client.addresses[0]!, bytes)
  pair.run(pair.simulator.now + wait)
}

const negotiation = (bytes: Uint8Array, first: PacketHeader, versions: ReadonlyArray<number>): Uint8Array =>
  encodeVersionNegotiation(
    bytesOf(bytes, first.scidStart, first.scidLength),
    bytesOf(bytes, first.dcidStart, first.dcidLength),
    versions,
    0
  )

describe("RFC 9000 6: version negotiation", () => {
  it("a client of an unknown version is told which ones there are, if its datagram is large enough", () => {
    const pair = established()
    const answers = capture(pair.server)
    const other = pair.simulator.addresses.intern("10.0.0.7", 1)
    const hello = new Uint8Array(1200)
    hello.set([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 20, ...Array.from({ length: 20 }, (_, i) => i), 4, 9, 8, 7, 6])
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, hello)
    sendRaw(pair.simulator, other, pair.server.addresses[0]!, hello.subarray(0, 1199))
    pair.run(pair.simulator.now + 50)
    const toOther = answers.filter(({ to }) => to === other)
    assert.strictEqual(toOther.length, 1)
    const { bytes } = toOther[0]!
    const header = headers(bytes)[0]!
    assert.strictEqual(header.packetType, PacketType.versionNegotiation)
    assert.deepStrictEqual([...bytesOf(bytes, header.dcidStart, header.dcidLength)], [9, 8, 7, 6])
    assert.deepStrictEqual(
      [...bytesOf(bytes, header.scidStart, header.scidLength)],
      Array.from({ length: 20 }, (_, i) => i)
    )
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const offered = Array.from({ length: header.versionsLength / 4 }, (_, i) =>
      view.getUint32(header.versionsStart + 4 * i)
    )
    assert.includeMembers(offered, [Version.v1, Version.v2])
    assert.strictEqual(pair.server.endpoint.stats().versionNegotiationsSent, 1)
    assert.strictEqual(pair.server.endpoint.stats().connections, 1)
  })

  it("B10: of a long list of versions a few are told", () => {
    const { pair, first, bytes } = stranded()
    const many = Array.from({ length: 250 }, (_, i) => 0xff00_0100 + i)
    answer(pair, negotiation(bytes, first, many))
    assert.deepStrictEqual(ending(pair.client), { kind: "versionNegotiation", offered: many.slice(0, 16) })
  })

  it("without a common version the connection ends and says what was offered", () => {
    const { pair, first, bytes, sent } = stranded()
    answer(pair, negotiation(bytes, first, [0x0a1a2a3a, 0xff00_001d]))
    assert.deepStrictEqual(ending(pair.client), { kind: "versionNegotiation", offered: [0x0a1a2a3a, 0xff00_001d] })
    assert.strictEqual(pair.client.endpoint.stats().connections, 0)
    pair.run(20_000)
    assert.strictEqual(sent.length, 1)
  })

  it("6.2: one that lists the version in use, or that does not echo the client's choice of ID, is ignored", () => {
    const { pair, first, bytes } = stranded()
    answer(pair, negotiation(bytes, first, [Version.v1, 0x0a1a2a3a]))
    const wrong = negotiation(bytes, first, [0x0a1a2a3a])
    wrong[wrong.length - 5]! ^= 1
    answer(pair, wrong)
    assert.strictEqual(pair.connection.state, "handshaking")
    pair.client.tap = undefined
    assert.isAbove(establish(pair), 0)
  })

  it("6.2: one that comes after another packet of the server is ignored", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    pair.until(() => pair.connection.core.packetsReceived > 0, 100)
    assert.strictEqual(pair.connection.state, "established")
    const { bytes } = sent[0]!
    answer(pair, negotiation(bytes, headers(bytes)[0]!, [0x0a1a2a3a]), 20)
    assert.isAbove(establish(pair), 0)
    assert.strictEqual(pair.client.closes.length, 0)
  })
})

const TOKEN = Uint8Array.from({ length: 40 }, (_, i) => i)
const NEW_ID = Uint8Array.from({ length: 12 }, (_, i) => 0xa0 + i)

const retry = (bytes: Uint8Array, first: PacketHeader, scid: Uint8Array, token: Uint8Array): Uint8Array => {
  const packet = encodeRetry(Version.v1, bytesOf(bytes, first.scidStart, first.scidLength), scid, token)
  const original = bytesOf(bytes, first.dcidStart, first.dcidLength)
  packet.set(retryTag(nodeProtection, Version.v1, original, packet.subarray(0, packet.length - 16)), packet.length - 16)
  return packet
}

/** A client that has seen a Retry, with a server that knows of it. */
const retried = (change: { original?: Uint8Array; retry?: Uint8Array | undefined } = {}): Pair => {
  let original = new Uint8Array(0)
  const pair = new Pair({
    server: {
      parameters: (parameters) => ({
        ...parameters,
        originalDestinationConnectionId: change.original ?? original,
        retrySourceConnectionId: "retry" in change ? change.retry : NEW_ID
      })
    }
  })
  pair.client.tap = () => false
  const sent = capture(pair.client)
  pair.run(1)
  const { bytes } = sent[0]!
  const first = headers(bytes)[0]!
  original = bytesOf(bytes, first.dcidStart, first.dcidLength).slice()
  pair.client.tap = undefined
  const again = capture(pair.client)
  answer(pair, retry(bytes, first, NEW_ID, TOKEN), 11)
  const second = headers(again[0]!.bytes)[0]!
  assert.strictEqual(second.level, Level.initial)
  assert.deepStrictEqual(bytesOf(again[0]!.bytes, second.dcidStart, second.dcidLength), NEW_ID)
  assert.deepStrictEqual(bytesOf(again[0]!.bytes, second.tokenStart, second.tokenLength), TOKEN)
  assert.isAtLeast(again[0]!.bytes.length, 1200)
  return pair
}

describe("RFC 9000 17.2.5: Retry", () => {
  it("the client starts over with the token and the new ID, at once, and the handshake completes", () => {
    const pair = retried()
    assert.isBelow(establish(pair), 100)
    exchange(pair, 1000, 1000, "after Retry")
  })

  it("7.3: retry_source_connection_id must be there and be right, and so must the original ID", () => {
    for (const change of [{ retry: undefined }, { retry: NEW_ID.slice(1) }, { original: NEW_ID }]) {
      const pair = retried(change)
      pair.run(1000)
      assert.strictEqual(transportCode(pair.client), TransportError.transportParameter)
      assert.strictEqual(transportCode(pair.server), TransportError.transportParameter)
    }
  })

  it("7.3: retry_source_connection_id without a Retry is refused too", () => {
    const pair = new Pair({ server: { parameters: (own) => ({ ...own, retrySourceConnectionId: NEW_ID }) } })
    pair.run(1000)
    assert.strictEqual(transportCode(pair.client), TransportError.transportParameter)
  })

  it("a wrong tag, no token, the ID that the client chose itself, or a token that leaves no room: ignored", () => {
    const { pair, sent, first, bytes } = stranded()
    const wrong = retry(bytes, first, NEW_ID, TOKEN)
    wrong[wrong.length - 1]! ^= 1
    const own = bytesOf(bytes, first.dcidStart, first.dcidLength)
    const large = new Uint8Array(1150)
    const bad = [
      wrong,
      retry(bytes, first, NEW_ID, new Uint8Array(0)),
      retry(bytes, first, own, TOKEN),
      retry(bytes, first, NEW_ID, large)
    ]
    for (const packet of bad) answer(pair, packet)
    assert.strictEqual(sent.length, 1)
    assert.strictEqual(pair.connection.core.token.length, 0)
    pair.client.tap = undefined
    assert.isAbove(establish(pair), 0)
  })

  it("a second Retry and a version negotiation after the first one are ignored", () => {
    const { pair, sent, first, bytes } = stranded()
    answer(pair, retry(bytes, first, NEW_ID, TOKEN))
    assert.strictEqual(sent.length, 2)
    const other = NEW_ID.toReversed()
    answer(pair, retry(bytes, first, other, TOKEN))
    const second = headers(sent[1]!.bytes)[0]!
    answer(pair, retry(sent[1]!.bytes, second, other, TOKEN))
    const id = bytesOf(bytes, first.scidStart, first.scidLength)
    answer(pair, encodeVersionNegotiation(id, bytesOf(bytes, first.dcidStart, first.dcidLength), [0x0a1a2a3a], 0))
    answer(pair, encodeVersionNegotiation(id, NEW_ID, [0x0a1a2a3a], 0))
    assert.strictEqual(sent.length, 2)
    assert.strictEqual(pair.connection.state, "handshaking")
    assert.deepStrictEqual(pair.connection.paths[0]!.remoteIds.active!.bytes, NEW_ID)
  })

  it("a Retry after another packet of the server is ignored", () => {
    const pair = new Pair()
    const sent = capture(pair.client)
    pair.until(() => pair.connection.core.packetsReceived > 0, 100)
    const { bytes } = sent[0]!
    answer(pair, retry(bytes, headers(bytes)[0]!, NEW_ID, TOKEN), 1)
    assert.isAbove(establish(pair), 0)
    exchange(pair, 1000, 1000, "after the late Retry")
  })
})

describe("Meddlers of the handshake", () => {
  it("RFC 9000 9: what comes from another address than the server's is dropped, even if it is the server's own packet", () => {
    const pair = new Pair()
    const other = pair.simulator.addresses.intern("10.0.0.7", 1)
    const moved: Array<Uint8Array> = []
    pair.server.tap = (bytes) => {
      moved.push(bytes.slice())
      return false
    }
    pair.run(30)
    assert.isAbove(moved.length, 0)
    for (const bytes of moved) sendRaw(pair.simulator, other, pair.client.addresses[0]!, bytes)
    pair.run(60)
    assert.strictEqual(pair.connection.core.packetsReceived, 0)
    assert.strictEqual(pair.connection.state, "handshaking")
    assert.isAbove(pair.connection.core.packetsDropped, 0)
    pair.server.tap = undefined
    assert.isAbove(establish(pair), 0)
  })

  it("RFC 9000 7.2: a damaged first Initial opens no connection, whatever byte of it was hit", () => {
    const { pair, bytes } = stranded()
    for (let at = 0; at < 60; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 0x11
      sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, damaged)
    }
    pair.run(100)
    assert.strictEqual(pair.server.endpoint.stats().connections, 0)
    assert.strictEqual(pair.server.accepted.length, 0)
    pair.client.tap = undefined
    assert.isAbove(establish(pair), 0)
    assert.strictEqual(pair.server.accepted.length, 1)
  })

  it("RFC 9000 7.2: Initial packets of the server under another source ID are dropped", () => {
    const pair = new Pair()
    pair.server.tap = () => false
    pair.run(20)
    const good = forge(pair.accepted, new Uint8Array([1]), 20, { level: Level.initial })
    const bad = forge(pair.accepted, new Uint8Array([1]), 20, { level: Level.initial, scid: new Uint8Array(8).fill(3) })
    answer(pair, good, 15)
    assert.strictEqual(pair.connection.core.packetsReceived, 1)
    answer(pair, bad, 15)
    assert.strictEqual(pair.connection.core.packetsReceived, 1)
    assert.strictEqual(pair.connection.core.packetsDropped, 1)
    pair.server.tap = undefined
    assert.isAbove(establish(pair), 0)
  })
})
