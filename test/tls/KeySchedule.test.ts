import { X509Certificate } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { decodeClientShares, decodeServerShare, ExtensionType } from "../../src/internal/tls/Extensions.ts"
import { X25519, secp256r1 } from "../../src/internal/tls/KeyExchange.ts"
import { KeySchedule, Transcript, exportKey, finishedData, ticketKey } from "../../src/internal/tls/KeySchedule.ts"
import {
  MESSAGE_HEADER,
  RETRY_RANDOM,
  decodeCertificate,
  decodeCertificateVerify,
  decodeClientHello,
  decodeServerHello,
  encodeClientHello,
  encodeFinished,
  encodeServerHello
} from "../../src/internal/tls/Messages.ts"
import { signedContent, verifyWith } from "../../src/internal/tls/Signatures.ts"
import { hex } from "./loopback.ts"
import { retry, simple } from "./rfc8448.ts"

const body = (message: Uint8Array) => message.subarray(MESSAGE_HEADER)

/** Cuts a flight into messages. */
const messages = (flight: Uint8Array): Array<Uint8Array> => {
  const out: Array<Uint8Array> = []
  for (let at = 0; at < flight.length;) {
    const end = at + MESSAGE_HEADER + ((flight[at + 1]! << 16) | (flight[at + 2]! << 8) | flight[at + 3]!)
    out.push(flight.subarray(at, end))
    at = end
  }
  return out
}

describe("RFC 8448 section 3, simple 1-RTT handshake", () => {
  it("X25519 gives the shared secret", () => {
    const offer = X25519.offer(() => simple.clientPrivateKey)
    const shares = decodeClientShares(
      decodeClientHello(body(simple.clientHello)).extensions.get(ExtensionType.keyShare)!
    )
    assert.strictEqual(hex(offer.share), hex(shares[0]!.keyExchange))
    const share = decodeServerShare(decodeServerHello(body(simple.serverHello)).extensions.get(ExtensionType.keyShare)!)
    assert.strictEqual(hex(offer.accept(share.keyExchange)), hex(simple.sharedSecret))
  })

  it("every secret, both Finished and CertificateVerify", () => {
    const transcript = new Transcript("sha256")
    const schedule = new KeySchedule("sha256")
    transcript.add(simple.clientHello)
    transcript.add(simple.serverHello)
    schedule.advance(simple.sharedSecret)
    const client = schedule.derive("c hs traffic", transcript.digest())
    const server = schedule.derive("s hs traffic", transcript.digest())
    assert.strictEqual(hex(client), hex(simple.clientHandshakeSecret))
    assert.strictEqual(hex(server), hex(simple.serverHandshakeSecret))

    transcript.add(simple.encryptedExtensions)
    transcript.add(simple.certificate)
    const leaf = decodeCertificate(body(simple.certificate))[0]!.certificate
    const { scheme, signature } = decodeCertificateVerify(body(simple.certificateVerify))
    const key = new X509Certificate(leaf).publicKey
    assert.isTrue(verifyWith(scheme, key, signedContent("server", transcript.digest()), signature))
    assert.isFalse(verifyWith(scheme, key, signedContent("client", transcript.digest()), signature))
    transcript.add(simple.certificateVerify)
    assert.strictEqual(
      hex(encodeFinished(finishedData("sha256", server, transcript.digest()))),
      hex(simple.serverFinished)
    )
    transcript.add(simple.serverFinished)

    schedule.advance()
    const digest = transcript.digest()
    assert.strictEqual(hex(schedule.derive("c ap traffic", digest)), hex(simple.clientApplicationSecret))
    assert.strictEqual(hex(schedule.derive("s ap traffic", digest)), hex(simple.serverApplicationSecret))
    assert.strictEqual(hex(schedule.derive("exp master", digest)), hex(simple.exporterSecret))
    assert.strictEqual(hex(encodeFinished(finishedData("sha256", client, digest))), hex(simple.clientFinished))
    transcript.add(simple.clientFinished)
    const resumption = schedule.derive("res master", transcript.digest())
    assert.strictEqual(hex(resumption), hex(simple.resumptionSecret))
    // Section 4: the ticket with nonce 00 00 stands for this key.
    assert.strictEqual(
      hex(ticketKey("sha256", resumption, Uint8Array.of(0, 0))),
      "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"
    )
  })

  it("ClientHello and ServerHello are encoded as they were decoded", () => {
    const clientHello = decodeClientHello(body(simple.clientHello))
    assert.strictEqual(hex(encodeClientHello(clientHello)), hex(simple.clientHello))
    const serverHello = decodeServerHello(body(simple.serverHello))
    assert.strictEqual(hex(encodeServerHello(serverHello)), hex(simple.serverHello))
  })
})

describe("RFC 8448 section 5, HelloRetryRequest", () => {
  it("secp256r1 gives the shared secret on both sides", () => {
    const offer = secp256r1.offer(() => retry.clientP256PrivateKey)
    const answer = secp256r1.answer(offer.share, () => retry.serverP256PrivateKey)
    assert.strictEqual(hex(answer.secret), hex(retry.sharedSecret))
    assert.strictEqual(hex(offer.accept(answer.share)), hex(retry.sharedSecret))
    const shares = decodeClientShares(
      decodeClientHello(body(retry.clientHello2)).extensions.get(ExtensionType.keyShare)!
    )
    assert.strictEqual(hex(offer.share), hex(shares[0]!.keyExchange))
    const first = decodeClientShares(
      decodeClientHello(body(retry.clientHello1)).extensions.get(ExtensionType.keyShare)!
    )
    assert.strictEqual(hex(X25519.offer(() => retry.clientX25519PrivateKey).share), hex(first[0]!.keyExchange))
  })

  it("every secret over a transcript with message_hash (RFC 8446 section 4.4.1)", () => {
    assert.strictEqual(hex(decodeServerHello(body(retry.helloRetryRequest)).random), hex(RETRY_RANDOM))
    const transcript = new Transcript("sha256")
    const schedule = new KeySchedule("sha256")
    transcript.add(retry.clientHello1)
    transcript.retry()
    transcript.add(retry.helloRetryRequest)
    transcript.add(retry.clientHello2)
    transcript.add(retry.serverHello)
    schedule.advance(retry.sharedSecret)
    const client = schedule.derive("c hs traffic", transcript.digest())
    const server = schedule.derive("s hs traffic", transcript.digest())
    assert.strictEqual(hex(client), hex(retry.clientHandshakeSecret))
    assert.strictEqual(hex(server), hex(retry.serverHandshakeSecret))
    const [encryptedExtensions, certificate, certificateVerify, finished] = messages(retry.serverFlight)
    for (const message of [encryptedExtensions!, certificate!, certificateVerify!]) transcript.add(message)
    assert.strictEqual(hex(encodeFinished(finishedData("sha256", server, transcript.digest()))), hex(finished!))
    transcript.add(finished!)
    schedule.advance()
    const digest = transcript.digest()
    assert.strictEqual(hex(schedule.derive("c ap traffic", digest)), hex(retry.clientApplicationSecret))
    assert.strictEqual(hex(schedule.derive("s ap traffic", digest)), hex(retry.serverApplicationSecret))
    assert.strictEqual(hex(schedule.derive("exp master", digest)), hex(retry.exporterSecret))
    transcript.add(encodeFinished(finishedData("sha256", client, digest)))
    assert.strictEqual(hex(transcript.digest()), hex(retry.resumptionHash))
    assert.strictEqual(hex(schedule.derive("res master", transcript.digest())), hex(retry.resumptionSecret))
  })
})

describe("exporter (RFC 8446 section 7.5)", () => {
  it("refuses labels and lengths that HKDF-Expand-Label cannot take", () => {
    const secret = new Uint8Array(32)
    const none = new Uint8Array(0)
    assert.strictEqual(exportKey("sha256", secret, "x".repeat(249), none, 255 * 32)?.length, 255 * 32)
    assert.isUndefined(exportKey("sha256", secret, "x".repeat(250), none, 32))
    assert.isUndefined(exportKey("sha256", secret, "", none, 32))
    assert.isUndefined(exportKey("sha256", secret, "é", none, 32))
    assert.isUndefined(exportKey("sha256", secret, "x", none, 255 * 32 + 1))
    assert.isUndefined(exportKey("sha256", secret, "x", none, 0))
  })
})
