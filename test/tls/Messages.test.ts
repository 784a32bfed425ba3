import { assert, describe, it } from "@effect/vitest"
import { failureOf } from "../../src/internal/tls/Alerts.ts"
import { ExtensionType, decodeServerName, encodeServerName } from "../../src/internal/tls/Extensions.ts"
import { MessageBuffer } from "../../src/internal/tls/MessageBuffer.ts"
import {
  MESSAGE_HEADER,
  decodeCertificate,
  decodeCertificateRequest,
  decodeCertificateVerify,
  decodeClientHello,
  decodeEncryptedExtensions,
  decodeNewSessionTicket,
  decodeServerHello,
  encodeCertificate,
  encodeCertificateRequest,
  encodeCertificateVerify,
  encodeClientHello,
  encodeEncryptedExtensions,
  encodeNewSessionTicket,
  encodeServerHello
} from "../../src/internal/tls/Messages.ts"
import { TlsWriter } from "../../src/internal/tls/Presentation.ts"
import { bytes, none } from "./tampering.ts"

const alertOf = (run: () => unknown): number | undefined => {
  try {
    run()
  } catch (error) {
    return failureOf(error).alert
  }
  return undefined
}

const random = new Uint8Array(32).fill(7)
const extensions = new Map([
  [ExtensionType.supportedVersions, bytes(3, 4)],
  [0x7a7a, none],
  [ExtensionType.cookie, bytes(0, 1, 9)]
])

const clientHello = { random, legacySessionId: bytes(1, 2), cipherSuites: [0x1301, 0x1303], extensions }
const serverHello = { random, cipherSuite: 0x1302, extensions }
const certificates = [bytes(1, 2, 3), bytes(4)]
const verify = { scheme: 0x0807, signature: bytes(9, 8) }
const ticket = { lifetime: 0xffff_ffff, ageAdd: 0x8000_0001, nonce: bytes(1), ticket: bytes(2, 3), extensions }

/** Each message: encoded, how it is decoded, and what must come out. */
const codecs: ReadonlyArray<readonly [string, Uint8Array, (body: Uint8Array) => unknown, unknown]> = [
  ["ClientHello", encodeClientHello(clientHello), decodeClientHello, clientHello],
  ["ServerHello", encodeServerHello(serverHello), decodeServerHello, serverHello],
  ["EncryptedExtensions", encodeEncryptedExtensions(extensions), decodeEncryptedExtensions, extensions],
  ["CertificateRequest", encodeCertificateRequest(extensions), decodeCertificateRequest, extensions],
  [
    "Certificate",
    encodeCertificate(certificates),
    decodeCertificate,
    certificates.map((certificate) => ({ certificate, extensions: new Map() }))
  ],
  ["CertificateVerify", encodeCertificateVerify(verify), decodeCertificateVerify, verify],
  ["NewSessionTicket", encodeNewSessionTicket(ticket), decodeNewSessionTicket, ticket]
]

/** The body of a ServerHello that echoes a session ID. */
const echo = (length: number) => {
  const body = encodeServerHello(serverHello).subarray(MESSAGE_HEADER)
  return Uint8Array.of(...body.subarray(0, 34), length, ...new Uint8Array(length), ...body.subarray(35))
}

describe("messages (RFC 8446 section 4)", () => {
  for (const [name, message, decode, value] of codecs) {
    const body = message.subarray(MESSAGE_HEADER)

    it(`${name} comes out as it went in`, () => {
      assert.strictEqual((message[1]! << 16) | (message[2]! << 8) | message[3]!, body.length)
      assert.deepStrictEqual(decode(body), value)
    })

    it(`${name} cut short anywhere or with bytes to spare: 50`, () => {
      for (let length = 0; length < body.length; length++) {
        // Hellos of older versions may end before their extensions (section 4.1.2 and 4.1.3).
        const bare = name === "ServerHello" ? 2 + 32 + 1 + 2 + 1 : 2 + 32 + 3 + 2 + 4 + 2
        const older = name.endsWith("Hello") && length === bare
        const expected = older ? (name === "ServerHello" ? 70 : undefined) : 50
        assert.strictEqual(
          alertOf(() => decode(body.subarray(0, length))),
          expected,
          `cut to ${length}`
        )
      }
      assert.strictEqual(
        alertOf(() => decode(Uint8Array.of(...body, 0))),
        50
      )
    })
  }

  it("an extension twice: 47 (section 4.2)", () => {
    assert.strictEqual(
      alertOf(() => decodeEncryptedExtensions(bytes(0, 8, 0x7a, 0x7a, 0, 0, 0x7a, 0x7a, 0, 0))),
      47
    )
  })

  it("session IDs are of at most 32 bytes: 50", () => {
    const long = encodeClientHello({ ...clientHello, legacySessionId: new Uint8Array(33) })
    assert.strictEqual(
      alertOf(() => decodeClientHello(long.subarray(MESSAGE_HEADER))),
      50
    )
    assert.isUndefined(alertOf(() => decodeServerHello(echo(0))))
    // Ours was empty, so is its echo (section 4.1.3).
    assert.strictEqual(
      alertOf(() => decodeServerHello(echo(32))),
      47
    )
    assert.strictEqual(
      alertOf(() => decodeServerHello(echo(33))),
      50
    )
  })

  it("lists of 16-bit numbers are even and not empty: 50", () => {
    const hello = encodeClientHello({ ...clientHello, cipherSuites: [] }).subarray(MESSAGE_HEADER)
    assert.strictEqual(
      alertOf(() => decodeClientHello(hello)),
      50
    )
  })

  it("a server name is lower case and unknown kinds of names are passed over (RFC 6066 section 3)", () => {
    assert.strictEqual(decodeServerName(encodeServerName("Server.Example")), "server.example")
    assert.isUndefined(decodeServerName(bytes(0, 4, 9, 0, 1, 97)))
  })

  it("a vector that is too long for its length is a fault of ours: 80", () => {
    const long = new Uint8Array(256)
    assert.strictEqual(
      alertOf(() => new TlsWriter().vector(1, (writer) => writer.raw(long))),
      80
    )
  })
})

describe("message buffer", () => {
  it("gives messages whole, whatever the pieces, and keeps what it was given", () => {
    const messages = codecs.map(([, message]) => message)
    const stream = Buffer.concat(messages)
    for (let size = 1; size < stream.length; size += 3) {
      const buffer = new MessageBuffer(() => {})
      const out: Array<Uint8Array> = []
      for (let at = 0; at < stream.length; at += size) {
        const piece = Uint8Array.from(stream.subarray(at, at + size))
        buffer.push(piece)
        piece.fill(0)
        for (let message = buffer.next(); message !== undefined; message = buffer.next()) out.push(message)
      }
      assert.deepStrictEqual(out, messages)
      assert.isFalse(buffer.pending)
    }
  })

  it("a large message in single bytes is copied few times", () => {
    const buffer = new MessageBuffer(() => {})
    const length = 1 << 18
    buffer.push(bytes(11, length >> 16, (length >> 8) & 0xff, length & 0xff))
    const byte = bytes(5)
    for (let i = 0; i < length; i++) {
      assert.isUndefined(buffer.next())
      buffer.push(byte)
    }
    assert.strictEqual(buffer.next()?.length, MESSAGE_HEADER + length)
  })
})
