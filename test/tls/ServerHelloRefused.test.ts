import { assert, describe, it } from "@effect/vitest"
import { ExtensionType, encodeServerShare, encodeUint16 } from "../../src/internal/tls/Extensions.ts"
import type { Extensions } from "../../src/internal/tls/Extensions.ts"
import {
  HandshakeType,
  MESSAGE_HEADER,
  RETRY_RANDOM,
  decodeClientHello,
  decodeEncryptedExtensions,
  encodeEncryptedExtensions,
  encodeServerHello
} from "../../src/internal/tls/Messages.ts"
import { Level, pair, run } from "./loopback.ts"
import type { PairOptions } from "./loopback.ts"
import { assertAlert, bytes, changed, editServerHello, none, replacing, twoGroups } from "./tampering.ts"

const serverExtension = (type: number, data: Uint8Array | undefined, options?: PairOptions, which = 0) =>
  editServerHello(({ extensions }) => ({ extensions: changed(extensions, type, data) }), options, which)

const version = [ExtensionType.supportedVersions, encodeUint16(0x0304)] as const

const asRetry = (extensions: Extensions) => editServerHello(() => ({ random: RETRY_RANDOM, extensions }))

const encryptedExtension = (type: number, data: Uint8Array | undefined) =>
  replacing("server", HandshakeType.encryptedExtensions, (body) =>
    encodeEncryptedExtensions(changed(decodeEncryptedExtensions(body), type, data))
  )

describe("what a client refuses in ServerHello (RFC 8446 section 4.1.3)", () => {
  it("an older version: 70; one not offered: 47", () => {
    assertAlert(serverExtension(ExtensionType.supportedVersions, undefined), 70)
    assertAlert(serverExtension(ExtensionType.supportedVersions, encodeUint16(0x0303)), 47)
  })

  it("a legacy version, session ID or compression: 47", () => {
    for (const at of [MESSAGE_HEADER + 1, MESSAGE_HEADER + 37]) {
      const flip = (_: Uint8Array, message: Uint8Array) => message.with(at, message[at]! ^ 1)
      assertAlert(replacing("server", HandshakeType.serverHello, flip), 47)
    }
  })

  it("a suite not offered: 47", () => {
    assertAlert(
      editServerHello(() => ({ cipherSuite: 0x1304 })),
      47
    )
    assertAlert(
      editServerHello(() => ({ cipherSuite: 0x1302 }), { client: { cipherSuites: ["TLS_AES_128_GCM_SHA256"] } }),
      47
    )
  })

  it("no key_share: 109; one for another group or no key: 47", () => {
    assertAlert(serverExtension(ExtensionType.keyShare, undefined), 109)
    const share = (group: number, keyExchange: Uint8Array) =>
      serverExtension(ExtensionType.keyShare, encodeServerShare({ group, keyExchange }))
    assertAlert(share(0x0017, new Uint8Array(32).fill(9)), 47)
    assertAlert(share(0x001d, new Uint8Array(32)), 47)
  })

  it("an answer to what was not asked: 110; an extension that belongs elsewhere: 47 (section 4.2)", () => {
    assertAlert(serverExtension(0x7a7a, none), 110)
    assertAlert(serverExtension(ExtensionType.preSharedKey, bytes(0, 0)), 110)
    assertAlert(serverExtension(ExtensionType.alpn, none), 47)
  })

  describe("HelloRetryRequest (section 4.1.4)", () => {
    it("that changes nothing, or asks for a group that was sent or not offered: 47", () => {
      assertAlert(asRetry(new Map([version])), 47)
      for (const group of [0x001d, 0x0018]) {
        assertAlert(asRetry(new Map([version, [ExtensionType.keyShare, encodeUint16(group)]])), 47)
      }
    })

    it("with a malformed cookie: 50", () => {
      assertAlert(asRetry(new Map([version, [ExtensionType.cookie, bytes(0, 0)]])), 50)
    })

    it("twice: 10", () => {
      const again = editServerHello(
        () => ({ random: RETRY_RANDOM, extensions: new Map([version, [ExtensionType.cookie, bytes(0, 1, 7)]]) }),
        twoGroups,
        1
      )
      assertAlert(again, 10)
      assert.include(again!.message, "a second HelloRetryRequest")
    })

    it("followed by another suite or group: 47", () => {
      assertAlert(
        editServerHello(() => ({ cipherSuite: 0x1302 }), twoGroups, 1),
        47
      )
      const share = encodeServerShare({ group: 0x001d, keyExchange: new Uint8Array(32).fill(9) })
      assertAlert(serverExtension(ExtensionType.keyShare, share, twoGroups, 1), 47)
    })

    it("a cookie is echoed (section 4.2.2)", () => {
      const { client } = pair()
      client.session.start()
      client.output.sent.length = 0
      const cookie = bytes(0, 2, 7, 7)
      const retry = encodeServerHello({
        random: RETRY_RANDOM,
        cipherSuite: 0x1301,
        extensions: new Map([version, [ExtensionType.cookie, cookie]])
      })
      assert.isUndefined(client.session.receive(Level.initial, retry))
      const second = decodeClientHello(client.output.sent[0]!.bytes.subarray(MESSAGE_HEADER))
      assert.deepStrictEqual(second.extensions.get(ExtensionType.cookie), cookie)
    })
  })
})

describe("what a client refuses in EncryptedExtensions", () => {
  it("no ALPN protocol: 120 (RFC 9001 section 8.1)", () =>
    assertAlert(encryptedExtension(ExtensionType.alpn, undefined), 120))

  it("an ALPN protocol not offered, or two: 47 (RFC 7301 section 3.1)", () => {
    assertAlert(encryptedExtension(ExtensionType.alpn, bytes(0, 2, 1, 97)), 47)
    const twice = Buffer.from("0016" + "0a68712d696e7465726f70".repeat(2), "hex")
    assertAlert(encryptedExtension(ExtensionType.alpn, twice), 47)
  })

  it("no transport parameters: 109 (RFC 9001 section 8.2)", () => {
    assertAlert(encryptedExtension(ExtensionType.quicTransportParameters, undefined), 109)
  })

  it("an answer to what was not asked: 110; an extension that belongs elsewhere: 47", () => {
    assertAlert(encryptedExtension(ExtensionType.earlyData, none), 110)
    assertAlert(encryptedExtension(ExtensionType.keyShare, none), 47)
  })

  it("supported_groups that are malformed: 50", () => {
    assertAlert(encryptedExtension(ExtensionType.supportedGroups, bytes(0, 1, 0)), 50)
  })

  it("a server_name with content: 50", () => assertAlert(encryptedExtension(ExtensionType.serverName, bytes(0)), 50))

  it("transport parameters that the connection refuses: its failure", () => {
    for (const side of ["client", "server"] as const) {
      const both = pair()
      const refusal = { alert: 47, message: "no such limit", transportError: 8 }
      both[side].output.refuse = refusal
      assert.strictEqual(run(both)[side], refusal)
    }
  })
})
