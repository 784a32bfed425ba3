/**
 * Peers that have the keys and break the rules: each breach ends the connection with the code that the RFC names, on both
 * sides, and nothing is ever thrown.
 */
import { assert, describe, it } from "@effect/vitest"
import type { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import {
  NO_PATH,
  writeAck,
  writeConnectionClose,
  writeCryptoHeader,
  writeHandshakeDone,
  writeMaxStreamData,
  writeMaxStreams,
  writeNewConnectionId,
  writeNewToken,
  writePathChallenge,
  writePathResponse,
  writePing,
  writeResetStream,
  writeRetireConnectionId,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamHeader
} from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import type { TransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { capture, forge, frames, inject, sendRaw } from "../support/Hostile.ts"
import type { Forgery } from "../support/Hostile.ts"
import { Pair, pattern } from "../support/Machines.ts"
import { ending, establish, established, exchange, say, transportCode } from "../support/Scenario.ts"

const E = TransportError

const stream = (w: ByteWriter, id: number, offset: number, length: number, fin = false): void => {
  writeStreamHeader(w, id, offset, length, fin, true)
  for (let i = 0; i < length; i++) w.uint8(1)
}
const newId = (w: ByteWriter, sequence: number, retire: number, length = 8, fill = sequence): void =>
  writeNewConnectionId(w, sequence, retire, new Uint8Array(length).fill(fill), new Uint8Array(16).fill(fill))
const ack = (w: ByteWriter, from: number, to: number): boolean =>
  writeAck(w, NO_PATH, Float64Array.of(from, to), 1, 0, 0, 0, 0, false)
const raw =
  (...values: ReadonlyArray<number>) =>
  (w: ByteWriter): void =>
    values.forEach((value) => w.uint8(value))

/** Largest stream ID that the peer of these settings may open, its windows, and how many connection IDs it knows. */
const settings = {
  maxBidiStreams: 4,
  maxUniStreams: 4,
  initialStreamWindow: 10_000,
  initialConnectionWindow: 20_000,
  connectionIds: 2
}
/** Two connection IDs a side: what peers add of their own has room within the limit of four. */
const few = { client: { settings: { connectionIds: 2 } }, server: { settings: { connectionIds: 2 } } }

type Breach = readonly [name: string, code: number, write: (w: ByteWriter, pair: Pair) => unknown, options?: Forgery]

const ofClient: ReadonlyArray<Breach> = [
  ["12.4: an unknown frame type", E.frameEncoding, raw(0x21)],
  ["12.4: an unknown frame type of eight bytes", E.frameEncoding, raw(0xff, 1, 2, 3, 4, 5, 6, 7)],
  ["12.4: a frame type that is not in its shortest form", E.protocolViolation, raw(0x40, 0x01)],
  ["12.4: a packet without frames", E.protocolViolation, () => {}],
  ["17.3.1: reserved bits of a short header", E.protocolViolation, writePing, { firstByte: 0x18 }],
  ["13.1: an acknowledgement of a packet that was never sent", E.protocolViolation, (w) => ack(w, 50_000, 50_000)],
  ["19.3: an acknowledged range below zero", E.frameEncoding, raw(0x02, 0x05, 0x00, 0x00, 0x06)],
  ["19.3: an ACK that ends too early", E.frameEncoding, raw(0x02, 0x05, 0x00, 0x04, 0x00)],
  ["19.7: NEW_TOKEN of a client", E.protocolViolation, (w) => writeNewToken(w, pattern(0, 10))],
  ["19.20: HANDSHAKE_DONE of a client", E.protocolViolation, writeHandshakeDone],
  ["4.1: data beyond the window of a stream", E.flowControl, (w) => stream(w, 0, 10_000, 1)],
  [
    "4.1: data beyond the window of the connection",
    E.flowControl,
    (w) => {
      stream(w, 0, 9999, 1)
      stream(w, 4, 9999, 1)
      stream(w, 8, 0, 1)
    }
  ],
  ["4.6: a bidirectional stream above the limit", E.streamLimit, (w) => stream(w, 16, 0, 1)],
  ["4.6: a unidirectional stream above the limit", E.streamLimit, (w) => stream(w, 18, 0, 1)],
  ["4.6: a reset of a stream above the limit", E.streamLimit, (w) => writeResetStream(w, 16, 1, 0)],
  ["19.8: data on a stream that only the server sends on", E.streamState, (w) => stream(w, 3, 0, 1)],
  ["19.8: data on a stream of the server that it never opened", E.streamState, (w) => stream(w, 1, 0, 1)],
  ["19.4: a reset of a stream that only the server sends on", E.streamState, (w) => writeResetStream(w, 3, 0, 0)],
  ["19.5: STOP_SENDING for a stream that the server only receives on", E.streamState, (w) => writeStopSending(w, 2, 0)],
  ["19.5: STOP_SENDING for a stream that the server never opened", E.streamState, (w) => writeStopSending(w, 1, 0)],
  ["19.10: MAX_STREAM_DATA for one that it only receives on", E.streamState, (w) => writeMaxStreamData(w, 2, 9)],
  ["19.10: MAX_STREAM_DATA for one that it never opened", E.streamState, (w) => writeMaxStreamData(w, 1, 9)],
  ["19.13: STREAM_DATA_BLOCKED for one that only it sends on", E.streamState, (w) => writeStreamDataBlocked(w, 3, 9)],
  ["19.11: MAX_STREAMS above 2^60", E.frameEncoding, raw(0x12, 0xd0, 0, 0, 0, 0, 0, 0, 1)],
  ["19.14: STREAMS_BLOCKED above 2^60", E.frameEncoding, raw(0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  [
    "4.5: data behind the end",
    E.finalSize,
    (w) => {
      stream(w, 0, 0, 10, true)
      stream(w, 0, 10, 1)
    }
  ],
  [
    "4.5: another end",
    E.finalSize,
    (w) => {
      stream(w, 0, 0, 10, true)
      stream(w, 0, 0, 9, true)
    }
  ],
  [
    "4.5: an end below what was sent",
    E.finalSize,
    (w) => {
      stream(w, 0, 50, 10)
      stream(w, 0, 20, 0, true)
    }
  ],
  [
    "4.5: a reset with another final size",
    E.finalSize,
    (w) => {
      stream(w, 0, 0, 10, true)
      writeResetStream(w, 0, 0, 11)
    }
  ],
  [
    "4.5: a reset below what was sent",
    E.finalSize,
    (w) => {
      stream(w, 0, 50, 10)
      writeResetStream(w, 0, 0, 20)
    }
  ],
  ["4.5: a reset beyond the window", E.flowControl, (w) => writeResetStream(w, 0, 0, 10_001)],
  [
    "19.8: an offset above 2^62",
    E.frameEncoding,
    raw(0x0e, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00)
  ],
  ["19.8: a STREAM frame that is longer than its packet", E.frameEncoding, raw(0x0a, 0x00, 0x50, 0x00, 0x01)],
  [
    "7.5: CRYPTO data far ahead of what is known",
    E.cryptoBufferExceeded,
    (w) => {
      writeCryptoHeader(w, 70_000, 1)
      w.uint8(1)
    }
  ],
  [
    "TLS: a message that has no place after the handshake",
    E.crypto + 10,
    (w) => {
      writeCryptoHeader(w, 0, 36)
      raw(20, 0, 0, 32)(w)
      w.copy(pattern(0, 32))
    }
  ],
  [
    "RFC 9001 6: a KeyUpdate message of TLS",
    E.crypto + 10,
    (w) => {
      writeCryptoHeader(w, 0, 5)
      raw(24, 0, 0, 1, 0)(w)
    }
  ],
  ["19.15: retire_prior_to above the sequence number", E.frameEncoding, (w) => newId(w, 3, 4)],
  ["19.15: a connection ID of 21 bytes", E.frameEncoding, (w) => newId(w, 3, 0, 21)],
  ["19.15: a connection ID of 0 bytes", E.frameEncoding, (w) => newId(w, 3, 0, 0)],
  [
    "5.1.1: more connection IDs than allowed",
    E.connectionIdLimit,
    (w) => [3, 4, 5, 6].forEach((sequence) => newId(w, sequence, 0))
  ],
  [
    "19.15: one sequence number for two IDs",
    E.protocolViolation,
    (w) => {
      newId(w, 3, 0)
      newId(w, 3, 0, 8, 99)
    }
  ],
  [
    "19.15: one ID under two sequence numbers",
    E.protocolViolation,
    (w) => {
      newId(w, 3, 0)
      newId(w, 4, 0, 8, 3)
    }
  ],
  ["19.16: retiring an ID that was never issued", E.protocolViolation, (w) => writeRetireConnectionId(w, 77)],
  [
    "19.16: retiring the ID that the packet was sent to",
    E.protocolViolation,
    (w, pair) => writeRetireConnectionId(w, pair.connection.paths[0]!.remoteIds.active!.sequence)
  ],
  ["19.17: a PATH_CHALLENGE that is cut off", E.frameEncoding, raw(0x1a, 1, 2, 3)],
  ["NEG-2: a frame of multipath, which was not negotiated", E.frameEncoding, raw(0x7e, 0x75, 0x00, 0x00)],
  [
    "21: a frame in the middle of good ones is still a breach",
    E.protocolViolation,
    (w) => {
      writePing(w)
      stream(w, 0, 0, 10)
      writeHandshakeDone(w)
      writePing(w)
    }
  ]
]

const ofServer: ReadonlyArray<Breach> = [
  ["19.7: an empty token", E.frameEncoding, raw(0x07, 0x00)],
  ["4.6: a stream above the limit", E.streamLimit, (w) => stream(w, 17, 0, 1)],
  ["19.8: data on a stream that only the client sends on", E.streamState, (w) => stream(w, 2, 0, 1)],
  ["13.1: an acknowledgement of a packet that was never sent", E.protocolViolation, (w) => ack(w, 0, 50_000)],
  ["12.4: an unknown frame type", E.frameEncoding, raw(0x20)],
  ["17.3.1: reserved bits", E.protocolViolation, writePing, { firstByte: 0x08 }]
]

describe.each<[string, ReadonlyArray<Breach>]>([
  ["client", ofClient],
  ["server", ofServer]
])("A %s that breaks the rules in 1-RTT packets", (role, breaches) => {
  it.each(breaches.map((breach) => [breach[0], breach] as const))("%s", (_, [, code, write, options]) => {
    const pair = established({ client: { settings }, server: { settings } })
    pair.run(pair.simulator.now + 300)
    const [wrong, victim] = role === "client" ? [pair.connection, pair.server] : [pair.accepted, pair.client]
    const told = role === "client" ? pair.client : pair.server
    inject(
      pair.simulator,
      wrong,
      frames((w) => write(w, pair)),
      options
    )
    pair.run(pair.simulator.now + 100)
    const info = ending(victim)
    assert.deepInclude(info, { kind: "transport", initiator: "local" })
    assert.strictEqual(transportCode(victim), code, JSON.stringify(info))
    assert.deepInclude(ending(told), { kind: "transport", initiator: "peer", code })
    if (info.kind === "transport") assert.isNotEmpty(info.reason)
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(victim.endpoint.stats().routes, 0)
  })
})

describe("What looks odd and is allowed", () => {
  it.each<[string, (w: ByteWriter, pair: Pair) => unknown]>([
    ["19.18: a PATH_RESPONSE that nobody asked for", (w) => writePathResponse(w, pattern(0, 8))],
    [
      "19.17: PATH_CHALLENGEs by the dozen",
      (w) => {
        for (let i = 0; i < 40; i++) writePathChallenge(w, pattern(i, 8))
      }
    ],
    [
      "4.1: limits that fall",
      (w) => {
        writeMaxStreams(w, true, 0)
        raw(0x10, 0x00)(w)
      }
    ],
    ["19.11: MAX_STREAMS of 2^60", raw(0x12, 0xd0, 0, 0, 0, 0, 0, 0, 0)],
    ["19.9: MAX_DATA of 2^62-1", raw(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
    [
      "19.8: the same data again",
      (w) => {
        stream(w, 0, 0, 10)
        stream(w, 0, 0, 10)
        stream(w, 0, 5, 20)
        stream(w, 0, 25, 0, true)
      }
    ],
    ["19.8: an empty STREAM frame", (w) => stream(w, 0, 0, 0)],
    [
      "19.16: retiring a spare ID, twice",
      (w) => {
        writeRetireConnectionId(w, 1)
        writeRetireConnectionId(w, 1)
      }
    ],
    [
      "19.15: replacing all IDs",
      (w) => {
        newId(w, 3, 3)
        newId(w, 4, 4)
        newId(w, 5, 5)
      }
    ],
    [
      "19.15: an ID that is told twice",
      (w) => {
        newId(w, 3, 0)
        newId(w, 3, 0)
      }
    ],
    ["19.1: padding alone", raw(0, 0, 0, 0, 0)],
    ["19.7: MAX_STREAM_DATA for a stream of its own that does not exist yet", (w) => writeMaxStreamData(w, 0, 5)],
    ["19.3: an ACK with ECN counts that make no sense", raw(0x03, 0x00, 0x00, 0x00, 0x00, 0x05, 0x05, 0x05)]
  ])("%s", (_, write) => {
    const pair = established(few)
    pair.run(pair.simulator.now + 300)
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => write(w, pair))
    )
    pair.run(pair.simulator.now + 200)
    assert.strictEqual(pair.server.closes.length, 0, JSON.stringify(pair.server.closes))
    assert.strictEqual(pair.accepted.state, "established")
  })

  it("19.15: a flood of retired IDs ends with CONNECTION_ID_LIMIT_ERROR, not with a long memory", () => {
    const pair = established(few)
    pair.run(pair.simulator.now + 200)
    // The acknowledgements of our RETIRE frames never come.
    pair.server.tap = () => false
    for (let sequence = 3; sequence < 200 && pair.server.closes.length === 0; sequence++) {
      const id = frames((w) => newId(w, sequence, sequence))
      sendRaw(
        pair.simulator,
        pair.client.addresses[0]!,
        pair.server.addresses[0]!,
        forge(pair.connection, id, pair.simulator.now)
      )
      pair.run(pair.simulator.now + 1)
    }
    pair.run(pair.simulator.now + 50)
    assert.strictEqual(transportCode(pair.server), E.connectionIdLimit)
  })

  it("8.2.2: challenges are answered, a flood of them with a bounded number of packets", () => {
    const pair = established()
    pair.run(pair.simulator.now + 300)
    const answers = capture(pair.server)
    const flood = frames((w) => {
      for (let n = 0; n < 100; n++) writePathChallenge(w, pattern(n, 8))
    })
    for (let i = 0; i < 20; i++) inject(pair.simulator, pair.connection, flood)
    pair.run(pair.simulator.now + 100)
    const large = answers.filter(({ bytes }) => bytes.length >= 1200)
    assert.isAbove(large.length, 0)
    assert.isAtMost(large.length, 20 * 8)
    exchange(pair, 1000, 1000, "after")
  })
})

describe("RFC 9000 5.1: peers with empty connection IDs", () => {
  it("19.15: such a peer issues none", () => {
    const pair = established()
    pair.run(pair.simulator.now + 200)
    pair.accepted.paths[0]!.remoteIds.setInitial(new Uint8Array(0))
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => newId(w, 1, 0))
    )
    pair.run(pair.simulator.now + 100)
    assert.deepInclude(ending(pair.server), { kind: "transport", initiator: "local", code: E.protocolViolation })
  })
})

describe("Breaches during the handshake", () => {
  it.each<[string, number, (w: ByteWriter) => unknown, Forgery]>([
    ["12.4: a STREAM frame in an Initial", E.protocolViolation, (w) => stream(w, 0, 0, 1), {}],
    ["12.4: HANDSHAKE_DONE in an Initial", E.protocolViolation, writeHandshakeDone, {}],
    ["12.4: an application's close in an Initial", E.protocolViolation, (w) => writeConnectionClose(w, 1, -1, ""), {}],
    ["17.2: reserved bits of a long header", E.protocolViolation, writePing, { firstByte: 0x0c }],
    ["13.1: an acknowledgement of a packet that was never sent", E.protocolViolation, (w) => ack(w, 9, 9), {}],
    [
      "7.5: CRYPTO data far ahead",
      E.cryptoBufferExceeded,
      (w) => {
        writeCryptoHeader(w, 80_000, 1)
        w.uint8(0)
      },
      {}
    ],
    [
      "TLS: what is not a ClientHello",
      E.crypto + 10,
      (w) => {
        writeCryptoHeader(w, 0, 4)
        raw(20, 0, 0, 0)(w)
      },
      {}
    ]
  ])("of a client, in its Initial packets: %s", (_, code, write, options) => {
    const pair = new Pair()
    pair.client.tap = () => false
    pair.run(1)
    // A first packet that is fine, so that there is a connection to close.
    inject(pair.simulator, pair.connection, frames(writePing), { level: Level.initial })
    pair.run(5)
    inject(pair.simulator, pair.connection, frames(write), { level: Level.initial, ...options })
    pair.run(100)
    assert.strictEqual(transportCode(pair.server), code)
    assert.deepInclude(ending(pair.client), { kind: "transport", initiator: "peer", code })
  })

  it.each<[string, number, (w: ByteWriter) => unknown]>([
    ["12.4: a STREAM frame", E.protocolViolation, (w) => stream(w, 0, 0, 1)],
    ["12.4: a PATH_CHALLENGE", E.protocolViolation, (w) => writePathChallenge(w, pattern(0, 8))],
    [
      "TLS: a wrong Finished",
      E.crypto + 51,
      (w) => {
        writeCryptoHeader(w, 0, 36)
        raw(20, 0, 0, 32)(w)
        w.copy(pattern(0, 32))
      }
    ],
    [
      "TLS: a message of the wrong side",
      E.crypto + 10,
      (w) => {
        writeCryptoHeader(w, 0, 4)
        raw(8, 0, 0, 0)(w)
      }
    ]
  ])("of a client, in its Handshake packets: %s", (_, code, write) => {
    const pair = new Pair()
    let sent = 0
    pair.client.tap = () => sent++ === 0
    pair.until(() => pair.connection.core.handshake.handshake !== undefined, 100)
    const { now } = pair.simulator
    inject(pair.simulator, pair.connection, frames(write), { level: Level.handshake })
    pair.run(now + 100)
    assert.deepInclude(ending(pair.server), { kind: "transport", initiator: "local", code })
  })

  it.each<[string, (own: TransportParameters) => TransportParameters]>([
    ["7.3: another initial_source_connection_id", (own) => ({ ...own, initialSourceConnectionId: pattern(0, 8) })],
    ["7.3: none", (own) => ({ ...own, initialSourceConnectionId: undefined })],
    ["18.2: max_udp_payload_size below 1200", (own) => ({ ...own, maxUdpPayloadSize: 1199 })],
    ["18.2: ack_delay_exponent above 20", (own) => ({ ...own, ackDelayExponent: 21 })],
    ["18.2: max_ack_delay of 2^14", (own) => ({ ...own, maxAckDelay: 2 ** 14 })],
    ["18.2: active_connection_id_limit below 2", (own) => ({ ...own, activeConnectionIdLimit: 1 })]
  ])("parameters of either side: %s", (_, change) => {
    for (const role of ["client", "server"] as const) {
      const pair = new Pair(role === "client" ? { client: { parameters: change } } : { server: { parameters: change } })
      pair.run(200)
      const [judge, told] = role === "client" ? [pair.server, pair.client] : [pair.client, pair.server]
      assert.deepInclude(ending(judge), { kind: "transport", initiator: "local", code: E.transportParameter }, role)
      assert.deepInclude(ending(told), { kind: "transport", initiator: "peer", code: E.transportParameter }, role)
    }
  })

  it("18.2: parameters that only servers may send, from a client", () => {
    for (const change of [
      { statelessResetToken: pattern(0, 16) },
      { originalDestinationConnectionId: pattern(0, 8) },
      { retrySourceConnectionId: pattern(0, 8) }
    ]) {
      const pair = new Pair({ client: { parameters: (own) => ({ ...own, ...change }) } })
      pair.run(200)
      assert.strictEqual(transportCode(pair.server), E.transportParameter)
    }
  })

  it("RFC 9001 5.7: a server reads no 1-RTT packets before the handshake is complete", () => {
    const pair = new Pair()
    // The client's Finished is lost; what it says afterwards arrives.
    let long = 0
    pair.client.tap = (datagram) => (datagram[0]! & 0x80) === 0 || ++long === 1 || long > 4
    pair.until(() => pair.connection.state === "established", 100)
    say(pair.connection, pattern(0, 1000))
    pair.run(pair.simulator.now + 30)
    assert.strictEqual(pair.accepted.state, "handshaking")
    assert.strictEqual(pair.accepted.streams.bytesReceived, 0)
    assert.isAbove(establish(pair), 0)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(pair.accepted.streams.bytesReceived, 1000)
  })
})
