/** What a peer that nobody knows yet can make us do and keep: counted, not timed. */
import { assert, describe, it, vi } from "@effect/vitest"
import { ExtensionType, encodeAlpn, encodeClientShares, encodeUint16List } from "../../src/internal/tls/Extensions.ts"
import {
  HandshakeType,
  MAX_CERTIFICATES,
  MESSAGE_HEADER,
  RETRY_RANDOM,
  decodeClientHello,
  encodeCertificate,
  encodeCertificateRequest,
  encodeClientHello,
  encodeNewSessionTicket
} from "../../src/internal/tls/Messages.ts"
import type { ClientHello } from "../../src/internal/tls/Messages.ts"
import type { TlsFailure } from "../../src/internal/tls/TlsSession.ts"
import { DerReader } from "../../src/internal/tls/certificates/Der.ts"
import type { Identity } from "../../src/internal/tls/Identity.ts"
import { leaf, root } from "./certificates/Fixtures.ts"
import { ed25519, p256 } from "./fixtures.ts"
import { Level, accept, coalesced, connected, pair, run } from "./loopback.ts"
import type { PairOptions } from "./loopback.ts"
import {
  assertAlert,
  bytes,
  changed,
  editClientHello,
  flipLast,
  none,
  protocolViolation,
  replacing,
  twoGroups
} from "./tampering.ts"

const clientHello = (): ClientHello => {
  const { client } = pair()
  client.session.start()
  return decodeClientHello(client.output.sent[0]!.bytes.subarray(MESSAGE_HEADER))
}

const numbers = (count: number, from: number) => Array.from({ length: count }, (_, i) => from + i)

/** How many elements `Array.prototype.includes` may have to look at. */
const counted = (work: () => void): number => {
  const spy = vi.spyOn(Array.prototype, "includes")
  try {
    work()
    return spy.mock.contexts.reduce<number>((sum, list) => sum + (list as ReadonlyArray<unknown>).length, 0)
  } finally {
    spy.mockRestore()
  }
}

const clientExtension = (type: number, data: Uint8Array | undefined, options?: PairOptions) =>
  editClientHello(({ extensions }) => ({ extensions: changed(extensions, type, data) }), options)

/** The failure of a client for a CertificateRequest with this extension besides those it needs. */
const requesting = (type: number, data: Uint8Array): TlsFailure | undefined =>
  replacing(
    "server",
    HandshakeType.certificateRequest,
    () =>
      encodeCertificateRequest(
        new Map([
          [ExtensionType.signatureAlgorithms, encodeUint16List([0x0403])],
          [type, data]
        ])
      ),
    { client: { identity: p256 }, server: { clientAuth: "request", verifyClient: accept } }
  )

describe("B4: work for a ClientHello", () => {
  it("B4: groups and shares by the thousand are walked a few times, not once for each other", () => {
    const hello = clientHello()
    const count = 1800
    const shares = numbers(count, 0x2000).map((group) => ({ group, keyExchange: bytes(1) }))
    const extensions = new Map(hello.extensions)
      .set(ExtensionType.supportedGroups, encodeUint16List([0x001d, ...numbers(count, 0x2000)]))
      .set(ExtensionType.keyShare, encodeClientShares(shares.toReversed()))
    const message = encodeClientHello({ ...hello, extensions })
    const { server } = pair()
    const elements = counted(() => assert.isUndefined(server.session.receive(Level.initial, message)))
    // A few of our own names looked for in each list; the product of both lists would be 3,240,000.
    assert.isBelow(elements, 10 * count)
    // It asks for a share that it can use.
    assert.deepStrictEqual(server.output.events, ["send 0"])
  })

  it("B4: a ClientHello above 16 kB is refused with its header, before anything of it is kept: 47", () => {
    const { server } = pair()
    const refused = server.session.receive(Level.initial, bytes(1, 0, 0x40, 0x01))
    assertAlert(refused, 47)
    assert.include(refused!.message, "above the limit of 16384")
    assert.isUndefined(pair().server.session.receive(Level.initial, bytes(1, 0, 0x40, 0x00)))
  })

  it("B4: a message that may not come now is refused with its header: 10", () => {
    // Certificates may be the longest of all.
    assertAlert(pair().server.session.receive(Level.initial, bytes(11, 1, 0, 0)), 10)
    const { client } = pair()
    client.session.start()
    assertAlert(client.session.receive(Level.initial, bytes(11, 1, 0, 0)), 10)
    assertAlert(connected().client.session.receive(Level.oneRtt, bytes(11, 1, 0, 0)), 10)
    assertAlert(connected().server.session.receive(Level.oneRtt, bytes(4, 1, 0, 0)), 10)
  })

  it("B4: only certificates may be longer than 16 kB", () => {
    for (const type of [2, 8, 13, 15, 20]) {
      const tooLong = (_: Uint8Array, message: Uint8Array) => message.with(1, 0).with(2, 0x40).with(3, 1)
      const failure = replacing("server", type, tooLong, {
        client: { identity: p256 },
        server: { clientAuth: "request", verifyClient: accept }
      })
      assertAlert(failure, 47)
    }
    assertAlert(connected().client.session.receive(Level.oneRtt, bytes(4, 0, 0x40, 1)), 47)
    const long = (_: Uint8Array, message: Uint8Array) => message.with(1, 0).with(2, 0xff).with(3, 0xff)
    assert.isUndefined(replacing("server", HandshakeType.certificate, long))
  })
})

describe("B10: form", () => {
  for (const [name, data] of [
    ["none", bytes(0, 0)],
    ["an empty name", bytes(0, 2, 0, 0)],
    ["a name cut short", bytes(0, 3, 0, 2, 1)],
    ["bytes behind", bytes(0, 3, 0, 1, 65, 0)],
    ["nothing at all", none]
  ] as const) {
    it(`B10: certificate_authorities with ${name}: 50 (RFC 8446 section 4.2.4)`, () => {
      assertAlert(requesting(ExtensionType.certificateAuthorities, data), 50)
      assertAlert(clientExtension(ExtensionType.certificateAuthorities, data), 50)
    })
  }

  it("B10: what is passed over must be well formed all the same: 50", () => {
    // Well formed, it gets as far as the signature, which covers another request.
    assertAlert(requesting(ExtensionType.certificateAuthorities, bytes(0, 3, 0, 1, 65)), 51)
    assertAlert(requesting(ExtensionType.signatureAlgorithmsCert, bytes(0, 1, 4)), 50)
    assertAlert(requesting(ExtensionType.oidFilters, bytes(0, 1, 0)), 50)
    assertAlert(clientExtension(ExtensionType.pskKeyExchangeModes, bytes(0)), 50)
    assertAlert(clientExtension(ExtensionType.cookie, bytes(0, 0)), 50)
    assertAlert(clientExtension(ExtensionType.earlyData, bytes(0)), 50)
    assertAlert(clientExtension(ExtensionType.postHandshakeAuth, bytes(0)), 50)
    assertAlert(clientExtension(ExtensionType.signatureAlgorithmsCert, bytes(0, 0)), 50)
  })

  it("B10: bytes directly behind a HelloRetryRequest, or behind the ClientHello that draws one: 10", () => {
    for (const from of ["client", "server"] as const) {
      const outcome = run(pair(twoGroups), (sent, sender) =>
        coalesced(
          sent.flatMap((piece) => {
            const { bytes: message, level } = piece
            const retry = message[0] === HandshakeType.serverHello && Buffer.from(message).includes(RETRY_RANDOM)
            const last = from === "server" ? retry : message[0] === HandshakeType.clientHello
            return sender === from && last ? [piece, { level, bytes: bytes(2, 0, 0, 50) }] : [piece]
          }),
          sender
        )
      )
      assertAlert(from === "client" ? outcome.server : outcome.client, 10)
    }
  })

  it("B10: where the keys change, the alert comes as PROTOCOL_VIOLATION (RFC 9001 section 4.1.3)", () => {
    const outcome = run(pair(), (sent, sender) =>
      coalesced(
        sent.flatMap((piece) =>
          sender === "server" && piece.level === Level.initial
            ? [piece, { level: Level.initial, bytes: bytes(8) }]
            : [piece]
        ),
        sender
      )
    )
    assertAlert(outcome.client, 10)
    assert.strictEqual(outcome.client?.transportError, protocolViolation)
    const late = connected().client.session.receive(Level.handshake, bytes(1))
    assert.strictEqual(late?.transportError, protocolViolation)
  })

  const sni = (serverName: string): Uint8Array | undefined => {
    const { client } = pair({ serverName })
    client.session.start()
    const hello = decodeClientHello(client.output.sent[0]!.bytes.subarray(MESSAGE_HEADER))
    return hello.extensions.get(ExtensionType.serverName)
  }

  it("B10: what is no host name does not go out as one (RFC 6066 section 3)", () => {
    for (const name of [
      "[1.2.3.4]",
      "[2001:db8::1]",
      "fe80::1%eth0",
      "192.0.2.1",
      "192.0.2.1.",
      "user@host",
      "*.example.com",
      "a b",
      "a..b",
      ".",
      "",
      "host:443",
      `${"x".repeat(64)}.example`,
      "xy.".repeat(85)
    ]) {
      assert.isUndefined(sni(name), name)
    }
    for (const name of ["localhost", "a.example", "a.example.", "under_score.example", "bücher.example", "1.2.3"]) {
      assert.isDefined(sni(name), name)
    }
  })

  it("B10: a server takes for a name what may be one, and no path or markup: 47", () => {
    const named = (name: string) =>
      clientExtension(
        ExtensionType.serverName,
        Buffer.concat([Buffer.of(0, name.length + 3, 0, 0, name.length), Buffer.from(name, "latin1")])
      )
    for (const name of ["../../key", "a/b", "<b>", "a\u001b[2Jb", "a b", "a\nb", "a\0b", "caf\u00e9"]) {
      assertAlert(named(name), 47)
    }
    assert.isUndefined(named("A.Example"))
    const long = Buffer.concat([Buffer.of(1, 3, 0, 1, 0), Buffer.alloc(256, "a")])
    assertAlert(clientExtension(ExtensionType.serverName, long), 47)
  })

  it(`B10: a chain of more than ${MAX_CERTIFICATES} certificates is refused and says so: 42`, () => {
    const chain = (count: number) => () =>
      encodeCertificate(Array.from({ length: count }, () => ed25519.certificates[0]!))
    const failure = replacing("server", HandshakeType.certificate, chain(MAX_CERTIFICATES + 1))
    assertAlert(failure, 42)
    assert.strictEqual(failure?.certificate, "malformed")
    assert.include(failure!.message, "more than 32 certificates")
    // Its signature then covers another transcript.
    assertAlert(replacing("server", HandshakeType.certificate, chain(MAX_CERTIFICATES)), 51)
  })
})

describe("B5: keys of peers", () => {
  it("B5: are kept once the peer has proved to hold them, and not before", () => {
    const authority = root()
    const end = leaf(authority)
    const identity: Identity = { certificates: [end.certificate], privateKey: end.privateKey }
    const reading = vi.spyOn(DerReader.prototype, "next")
    const valuesRead = (work: () => void): number => {
      reading.mockClear()
      work()
      return reading.mock.calls.length
    }
    try {
      const forged = () =>
        assertAlert(
          replacing("server", HandshakeType.certificateVerify, (_, message) => flipLast(message), { identity }),
          51
        )
      assert.isAbove(valuesRead(forged), 0)
      assert.isAbove(valuesRead(forged), 0)
      assert.isAbove(
        valuesRead(() => connected({ identity })),
        0
      )
      assert.strictEqual(
        valuesRead(() => connected({ identity })),
        0
      )
    } finally {
      reading.mockRestore()
    }
  })
})

describe("B10: text of a peer", () => {
  it("B10: protocols that a client offers are named without control characters, and only a few of them", () => {
    const names = ["a\u001b[31m\r\nforged", "b".repeat(200), ...numbers(1000, 0).map(String)]
    const failure = clientExtension(ExtensionType.alpn, encodeAlpn(names))
    assertAlert(failure, 120)
    assert.match(failure!.message, /^[\x20-\x7e…]{1,500}$/)
    assert.include(failure!.message, "a?[31m??forged")
    assert.include(failure!.message, "and 998 more")
  })

  it("B10: what a verifier or a callback says is cut and cleaned, and the rest of it kept", () => {
    const refusal: TlsFailure = { alert: 46, message: `\u202e\u0007${"x".repeat(5000)}`, certificate: "malformed" }
    const { client } = run(pair({ client: { verifyServer: () => refusal } }))
    assert.strictEqual(client?.alert, 46)
    assert.strictEqual(client?.certificate, "malformed")
    assert.strictEqual(client?.message, `??${"x".repeat(497)}…`)
    const thrown = run(
      pair({
        server: {
          selectIdentity: (name) => {
            throw new Error(`\u0000${name}${"y".repeat(5000)}`)
          }
        }
      })
    )
    assertAlert(thrown.server, 80)
    assert.match(thrown.server!.message, /^TLS failed: \?server\.exampley+…$/)
    assert.strictEqual(thrown.server!.message.length, 500)
  })
})

describe("B10: after the handshake", () => {
  it("B10: exported keys need a label and a whole length; an empty context is one (RFC 8446 section 7.5)", () => {
    const { client, server } = connected()
    const exported = (label: string, context: Uint8Array, length: number) =>
      client.session.exportKeyingMaterial(label, context, length)
    assert.isUndefined(exported("", none, 32))
    assert.isUndefined(exported("x".repeat(250), none, 32))
    assert.isUndefined(exported("EXPORTER-\u00e4", none, 32))
    for (const length of [0, -1, 1.5, Number.NaN, 255 * 32 + 1])
      assert.isUndefined(exported("EXPORTER-a", none, length))
    assert.strictEqual(exported("EXPORTER-a", none, 255 * 32)?.length, 255 * 32)
    assert.deepStrictEqual(
      exported("EXPORTER-a", none, 32),
      server.session.exportKeyingMaterial("EXPORTER-a", none, 32)
    )
  })

  it("a server cannot have any number of tickets kept", () => {
    const { client } = connected()
    for (let i = 0; i < 100; i++) {
      const ticket = { lifetime: 60, ageAdd: 0, nonce: bytes(i), ticket: bytes(1), extensions: new Map() }
      assert.isUndefined(client.session.receive(Level.oneRtt, encodeNewSessionTicket(ticket)))
    }
    assert.strictEqual(client.output.tickets.length, 16)
  })
})
