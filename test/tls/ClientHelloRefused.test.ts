import { assert, describe, it } from "@effect/vitest"
import { ExtensionType, encodeClientShares, encodeUint16List } from "../../src/internal/tls/Extensions.ts"
import type { Extensions } from "../../src/internal/tls/Extensions.ts"
import { HandshakeType, MESSAGE_HEADER, decodeClientHello, encodeClientHello } from "../../src/internal/tls/Messages.ts"
import { makeTlsEngine } from "../../src/internal/tls/OwnTls.ts"
import { rsa2048 } from "./fixtures.ts"
import { Recorder, WALL_TIME, accept, pair, run, seeded } from "./loopback.ts"
import type { PairOptions } from "./loopback.ts"
import {
  assertAlert,
  bytes,
  changed,
  editClientHello,
  none,
  protocolViolation,
  replacing,
  twoGroups
} from "./tampering.ts"

const clientExtension = (type: number, data: Uint8Array | undefined, options?: PairOptions, which = 0) =>
  editClientHello(({ extensions }) => ({ extensions: changed(extensions, type, data) }), options, which)

const withoutModes = (extensions: Extensions) => changed(extensions, ExtensionType.pskKeyExchangeModes, undefined)

const compress = (body: Uint8Array, message: Uint8Array) => {
  const at = MESSAGE_HEADER + 2 + 32 + 1 + 2 + decodeClientHello(body).cipherSuites.length * 2
  assert.strictEqual(message[at], 1)
  const copy = message.slice()
  copy[at + 1] = 1
  return copy
}

/** The failure for a ClientHello whose only share is this. */
const withShare = (group: number, keyExchange: Uint8Array) => {
  const options: PairOptions = { client: { groups: [group === 0x001d ? "X25519" : "secp256r1"] } }
  return clientExtension(ExtensionType.keyShare, encodeClientShares([{ group, keyExchange }]), options)
}

describe("what a server refuses in ClientHello", () => {
  it("no ALPN protocol in common, or none at all: 120 (RFC 9001 section 8.1)", () => {
    const { client, server } = run(pair({ clientAlpn: ["a"], serverAlpn: ["b"] }))
    assert.isUndefined(client)
    assertAlert(server, 120)
    assert.include(server!.message, "the client offers a, we have b")
    assertAlert(clientExtension(ExtensionType.alpn, undefined), 120)
  })

  it("a client with nothing to offer fails at once: 120", () => {
    assertAlert(run(pair({ clientAlpn: [] })).client, 120)
  })

  it("no transport parameters: 109 (RFC 9001 section 8.2)", () => {
    assertAlert(clientExtension(ExtensionType.quicTransportParameters, undefined), 109)
  })

  for (const [name, type] of [
    ["supported_groups", ExtensionType.supportedGroups],
    ["key_share", ExtensionType.keyShare],
    ["signature_algorithms", ExtensionType.signatureAlgorithms]
  ] as const) {
    it(`no ${name}: 109 (RFC 8446 section 9.2)`, () => assertAlert(clientExtension(type, undefined), 109))
  }

  it("an older version: 70 (RFC 9001 section 4.2)", () => {
    assertAlert(clientExtension(ExtensionType.supportedVersions, undefined), 70)
    assertAlert(clientExtension(ExtensionType.supportedVersions, bytes(2, 3, 3)), 70)
    assertAlert(
      editClientHello(() => ({ extensions: new Map() })),
      70
    )
  })

  it("a session ID: PROTOCOL_VIOLATION (RFC 9001 section 8.4)", () => {
    const failure = editClientHello(() => ({ legacySessionId: new Uint8Array(32) }))
    assertAlert(failure, 47)
    assert.strictEqual(failure?.transportError, protocolViolation)
  })

  it("no cipher suite or group in common: 40", () => {
    assertAlert(
      editClientHello(() => ({ cipherSuites: [0x1304, 0x0a0a] })),
      40
    )
    const { server } = run(pair({ client: { groups: ["X25519"] }, server: { groups: ["secp256r1"] } }))
    assertAlert(server, 40)
  })

  it("no signature scheme for our key: 40", () => {
    assertAlert(clientExtension(ExtensionType.signatureAlgorithms, encodeUint16List([0x0804])), 40)
    // RSA PKCS#1 v1.5 is for certificates alone (RFC 8446 section 4.2.3).
    const pkcs1 = encodeUint16List([0x0401])
    assertAlert(clientExtension(ExtensionType.signatureAlgorithms, pkcs1, { identity: rsa2048 }), 40)
  })

  it("no certificate for the name: 112", () => {
    const engine = makeTlsEngine({ random: seeded(5), verifyServer: accept, selectIdentity: () => undefined })
    const output = new Recorder()
    const session = engine.server!({ transportParameters: none, output, wallTime: WALL_TIME, alpn: ["hq-interop"] })
    const { server } = run({ client: pair().client, server: { session, output } })
    assertAlert(server, 112)
    assert.include(server!.message, "server.example")
  })

  it("compression: 47 (RFC 8446 section 4.1.2)", () => {
    assertAlert(replacing("client", HandshakeType.clientHello, compress), 47)
  })

  it("key shares for a group twice or one not supported: 47 (RFC 8446 section 4.2.8)", () => {
    const share = { group: 0x001d, keyExchange: new Uint8Array(32).fill(9) }
    assertAlert(clientExtension(ExtensionType.keyShare, encodeClientShares([share, share])), 47)
    assertAlert(clientExtension(ExtensionType.keyShare, encodeClientShares([{ ...share, group: 0x0018 }])), 47)
  })

  it("a share that is no public key: 47 (RFC 8446 sections 4.2.8.2 and 7.4.2)", () => {
    // X25519 of a point of small order is zero.
    assertAlert(withShare(0x001d, new Uint8Array(32)), 47)
    assertAlert(withShare(0x001d, new Uint8Array(31).fill(9)), 47)
    assertAlert(withShare(0x0017, new Uint8Array(65).fill(4)), 47)
    assertAlert(withShare(0x0017, new Uint8Array(33).fill(2)), 47)
  })

  it("malformed extensions: 50", () => {
    assertAlert(clientExtension(ExtensionType.keyShare, bytes(0, 5, 0, 29, 0, 32, 1)), 50)
    assertAlert(clientExtension(ExtensionType.alpn, bytes(0, 1, 0)), 50)
    assertAlert(clientExtension(ExtensionType.alpn, bytes(0, 2, 0, 0)), 50)
    assertAlert(clientExtension(ExtensionType.supportedGroups, bytes(0, 3, 0, 29, 0)), 50)
    assertAlert(clientExtension(ExtensionType.supportedVersions, bytes(0)), 50)
    assertAlert(clientExtension(ExtensionType.serverName, bytes(0, 4, 0, 0, 0)), 50)
  })

  it("a server name that is none: 47", () => {
    assertAlert(clientExtension(ExtensionType.serverName, bytes(0, 4, 0, 0, 1, 0)), 47)
    assertAlert(clientExtension(ExtensionType.serverName, bytes(0, 8, 0, 0, 1, 97, 0, 0, 1, 98)), 47)
  })

  it("pre_shared_key that is not last: 47, or without modes: 109 (RFC 8446 sections 4.2.11 and 4.2.9)", () => {
    const psk = [ExtensionType.preSharedKey, none] as const
    assertAlert(
      editClientHello(({ extensions }) => ({ extensions: new Map([psk, ...extensions]) })),
      47
    )
    assertAlert(
      editClientHello(({ extensions }) => ({ extensions: new Map([...withoutModes(extensions), psk]) })),
      109
    )
  })

  it("unknown extensions, groups, suites and schemes are ignored (RFC 8701)", () => {
    const { server } = run(pair(), (sent, from) =>
      sent.map(({ bytes: message, level }) => {
        if (from !== "client" || message[0] !== HandshakeType.clientHello) return { level, bytes: message }
        const hello = decodeClientHello(message.subarray(MESSAGE_HEADER))
        const extensions = new Map(hello.extensions).set(0x7a7a, bytes(1, 2, 3))
        extensions.set(ExtensionType.supportedGroups, encodeUint16List([0x4a4a, 0x001d]))
        return { level, bytes: encodeClientHello({ ...hello, cipherSuites: [0x0a0a, 0x1301], extensions }) }
      })
    )
    assert.isUndefined(server)
  })

  describe("the second ClientHello (RFC 8446 section 4.1.2)", () => {
    it("may not change: 47", () => {
      assertAlert(
        editClientHello(() => ({ random: new Uint8Array(32) }), twoGroups, 1),
        47
      )
      assertAlert(
        editClientHello(({ cipherSuites }) => ({ cipherSuites: cipherSuites.toReversed() }), twoGroups, 1),
        47
      )
      assertAlert(clientExtension(ExtensionType.quicTransportParameters, bytes(9), twoGroups, 1), 47)
      assertAlert(clientExtension(ExtensionType.serverName, undefined, twoGroups, 1), 47)
      assertAlert(clientExtension(0x7a7a, none, twoGroups, 1), 47)
      assertAlert(clientExtension(ExtensionType.earlyData, none, twoGroups, 1), 47)
      assertAlert(clientExtension(ExtensionType.cookie, bytes(0, 1, 1), twoGroups, 1), 47)
    })

    it("must have the share that was asked for, alone: 47", () => {
      const x25519 = { group: 0x001d, keyExchange: new Uint8Array(32).fill(9) }
      const p256Share = { group: 0x0017, keyExchange: new Uint8Array(65).fill(4) }
      assertAlert(clientExtension(ExtensionType.keyShare, encodeClientShares([]), twoGroups, 1), 47)
      assertAlert(clientExtension(ExtensionType.keyShare, encodeClientShares([x25519]), twoGroups, 1), 47)
      assertAlert(clientExtension(ExtensionType.keyShare, encodeClientShares([p256Share, x25519]), twoGroups, 1), 47)
    })
  })
})
