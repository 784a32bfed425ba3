import { assert, describe, it } from "@effect/vitest"
import {
  ExtensionType,
  decodeClientShares,
  encodeAlpn,
  encodeServerShare,
  encodeUint16,
  encodeUint16List
} from "../../src/internal/tls/Extensions.ts"
import { X25519 } from "../../src/internal/tls/KeyExchange.ts"
import { KeySchedule, Transcript, finishedData } from "../../src/internal/tls/KeySchedule.ts"
import {
  HandshakeType,
  MESSAGE_HEADER,
  decodeCertificate,
  decodeCertificateVerify,
  decodeClientHello,
  encodeCertificate,
  encodeCertificateRequest,
  encodeCertificateVerify,
  encodeEncryptedExtensions,
  encodeFinished,
  encodeServerHello
} from "../../src/internal/tls/Messages.ts"
import { signWith, signedContent } from "../../src/internal/tls/Signatures.ts"
import type { TlsFailure } from "../../src/internal/tls/TlsSession.ts"
import { ed25519, p256 } from "./fixtures.ts"
import { Level, accept, pair, run, seeded } from "./loopback.ts"
import type { PairOptions, Sent } from "./loopback.ts"
import { assertAlert, bytes, flipLast, replacing } from "./tampering.ts"

const clientAuth: PairOptions = {
  client: { identity: p256 },
  server: { clientAuth: "require", verifyClient: accept }
}

const requested = (message: Uint8Array) =>
  replacing("server", HandshakeType.certificateRequest, () => message, clientAuth)

const tamper = (body: Uint8Array) => {
  const { scheme, signature } = decodeCertificateVerify(body)
  return encodeCertificateVerify({ scheme, signature: flipLast(signature) })
}

const flipped = (_: Uint8Array, message: Uint8Array) => flipLast(message)

const shortened = (_: Uint8Array, message: Uint8Array) => message.slice(0, -1).with(3, 31)

/** What a server that asks for a certificate signed with `schemes` answers to a ClientHello. */
const scriptedServer = (clientHello: Uint8Array, schemes: ReadonlyArray<number>): Array<Sent> => {
  const transcript = new Transcript("sha256")
  const schedule = new KeySchedule("sha256")
  const flight: Array<Sent> = []
  const send = (level: Level, message: Uint8Array) => {
    transcript.add(message)
    flight.push({ level, bytes: message })
  }
  transcript.add(clientHello)
  const hello = decodeClientHello(clientHello.subarray(MESSAGE_HEADER))
  const [share] = decodeClientShares(hello.extensions.get(ExtensionType.keyShare)!)
  const answer = X25519.answer(share!.keyExchange, seeded(77))
  const keyShare = encodeServerShare({ group: X25519.id, keyExchange: answer.share })
  const helloExtensions = new Map([
    [ExtensionType.supportedVersions, encodeUint16(0x0304)],
    [ExtensionType.keyShare, keyShare]
  ])
  send(Level.initial, encodeServerHello({ random: seeded(78)(32), cipherSuite: 0x1301, extensions: helloExtensions }))
  schedule.advance(answer.secret)
  const serverSecret = schedule.derive("s hs traffic", transcript.digest())
  const extensions = new Map([
    [ExtensionType.alpn, encodeAlpn(["hq-interop"])],
    [ExtensionType.quicTransportParameters, bytes(1)]
  ])
  send(Level.handshake, encodeEncryptedExtensions(extensions))
  const request = new Map([[ExtensionType.signatureAlgorithms, encodeUint16List(schemes)]])
  send(Level.handshake, encodeCertificateRequest(request))
  send(Level.handshake, encodeCertificate(ed25519.certificates))
  const content = signedContent("server", transcript.digest())
  send(
    Level.handshake,
    encodeCertificateVerify({ scheme: 0x0807, signature: signWith(0x0807, ed25519.privateKey, content)! })
  )
  send(Level.handshake, encodeFinished(finishedData("sha256", serverSecret, transcript.digest())))
  return flight
}

describe("authentication", () => {
  const sides = [
    ["server", undefined],
    ["client", clientAuth]
  ] as const

  it("a certificate that the verifier refuses: its failure", () => {
    const refusal: TlsFailure = { alert: 48, message: "nobody knows it", certificate: "unknownAuthority" }
    assert.strictEqual(run(pair({ client: { verifyServer: () => refusal } })).client, refusal)
    const refused = pair({
      client: { identity: p256 },
      server: { clientAuth: "request", verifyClient: () => refusal }
    })
    assert.strictEqual(run(refused).server, refusal)
  })

  it("a client without the certificate that is required: 116 (RFC 8446 section 4.4.2.4)", () => {
    const both = pair({ server: { clientAuth: "require", verifyClient: accept } })
    assertAlert(run(both).server, 116)
    // Nothing was read from it: no 1-RTT secret to read with came out.
    assert.notInclude(both.server.output.events, "secret 3 read")
  })

  it("a server without certificate: 50", () => {
    assertAlert(
      replacing("server", HandshakeType.certificate, () => encodeCertificate([])),
      50
    )
  })

  for (const [name, schemes, shown] of [
    ["can check shows it", [0x0804, 0x0403], p256.certificates],
    ["cannot check shows none", [0x0804], []]
  ] as const) {
    it(`a client with a key that the server ${name} (RFC 8446 section 4.4.2.3)`, () => {
      const { output, session } = pair(clientAuth).client
      session.start()
      for (const { bytes: message, level } of scriptedServer(output.sent.splice(0)[0]!.bytes, schemes))
        assert.isUndefined(session.receive(level, message))
      const [certificate, ...more] = output.sent
      const entries = decodeCertificate(certificate!.bytes.subarray(MESSAGE_HEADER))
      assert.deepStrictEqual(
        entries.map((entry) => entry.certificate),
        shown
      )
      assert.deepStrictEqual(
        more.map((sent) => sent.bytes[0]),
        shown.length > 0 ? [HandshakeType.certificateVerify, HandshakeType.finished] : [HandshakeType.finished]
      )
    })
  }

  it("CertificateRequest without signature_algorithms: 109; with a context or an extension of elsewhere: 47", () => {
    assertAlert(requested(encodeCertificateRequest(new Map())), 109)
    const misplaced = new Map([[ExtensionType.keyShare, bytes(0)]])
    assertAlert(requested(encodeCertificateRequest(misplaced)), 47)
    assertAlert(requested(bytes(13, 0, 0, 4, 1, 7, 0, 0)), 47)
  })

  for (const [from, options] of sides) {
    it(`${from}: a certificate that is not DER: 42`, () => {
      const der = p256.certificates[0]!
      const pem = Buffer.from(
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`
      )
      for (const certificate of [bytes(1, 2, 3), Buffer.concat([der, bytes(0)]), pem, der.subarray(0, -1)]) {
        const failure = replacing(from, HandshakeType.certificate, () => encodeCertificate([certificate]), options)
        assertAlert(failure, 42)
        assert.strictEqual(failure?.certificate, "malformed")
      }
    })

    it(`${from}: a signature that is none: 51`, () => {
      const signature = new Uint8Array(64).fill(1)
      const forge = (body: Uint8Array) =>
        encodeCertificateVerify({ scheme: decodeCertificateVerify(body).scheme, signature })
      assertAlert(replacing(from, HandshakeType.certificateVerify, forge, options), 51)
    })

    it(`${from}: a signature that was changed: 51 (RFC 8446 section 4.4.3)`, () => {
      assertAlert(replacing(from, HandshakeType.certificateVerify, tamper, options), 51)
    })

    it(`${from}: a scheme that is not for the key, not for handshakes or not announced: 47`, () => {
      for (const scheme of [0x0804, 0x0401, 0x0203]) {
        const claim = (body: Uint8Array) =>
          encodeCertificateVerify({ scheme, signature: decodeCertificateVerify(body).signature })
        assertAlert(replacing(from, HandshakeType.certificateVerify, claim, options), 47)
      }
    })

    it(`${from}: a Finished that is wrong: 51; of another length: 50 (RFC 8446 section 4.4.4)`, () => {
      assertAlert(replacing(from, HandshakeType.finished, flipped, options), 51)
      assertAlert(replacing(from, HandshakeType.finished, shortened, options), 50)
    })

    it(`${from}: extensions of a certificate that nobody asked for: 110`, () => {
      const certificate = from === "client" ? p256.certificates[0]! : ed25519.certificates[0]!
      const plain = encodeCertificate([certificate])
      const stapled = Buffer.concat([plain.subarray(0, -2), bytes(0, 4, 0, 5, 0, 0)])
      stapled.writeUIntBE(stapled.length - 4, 1, 3)
      stapled.writeUIntBE(stapled.length - 8, 5, 3)
      assertAlert(
        replacing(from, HandshakeType.certificate, () => stapled, options),
        110
      )
    })
  }
})
