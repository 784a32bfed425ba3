import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Predicate, Redacted } from "effect"
import type { Layer } from "effect"
import { TestClock } from "effect/testing"
import { X509Certificate } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateKey } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { writePem } from "../../../src/internal/tls/certificates/Pem.ts"
import * as QuicError from "../../../src/QuicError.ts"
import * as TestCertificates from "../../../src/testing/TestCertificates.ts"
import * as Tls from "../../../src/Tls.ts"
import { leaf, root } from "./Fixtures.ts"

const anchor = root()
const key = generateKey("ecdsa")
const end = leaf(anchor, { key })
const certificatePem = writePem("CERTIFICATE", end.certificate)
const anchorPem = writePem("CERTIFICATE", anchor.certificate)
const keyPem = key.export({ format: "pem", type: "pkcs8" }) as string

/** A directory that goes with the scope. */
const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tls-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const failureOf = <A>(layer: Layer.Layer<A, QuicError.QuicError>) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Effect.provide(Tls.Trust, layer))
    assert.isTrue(Predicate.isTagged(error.reason, "BadConfig"))
    return error.message
  })

const judged = (layer: Layer.Layer<never, QuicError.QuicError>, chain: ReadonlyArray<Uint8Array>, serverName: string) =>
  Effect.map(Effect.provide(Tls.Trust, layer), (verify) =>
    verify({ chain, serverName, usage: "serverAuth", now: Date.UTC(2026, 0, 15) })
  )

describe("Tls layers", () => {
  it.effect("nothing is provided: no identity, no client certificates, and strangers are refused", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* Tls.Identity)
      assert.isUndefined(yield* Tls.ClientIdentity)
      assert.isUndefined(yield* Tls.ClientCertificates)
      assert.isUndefined(yield* Tls.Engine)
      const failure = yield* judged(Tls.layerTrustSystem, [end.certificate], "a.example")
      assert.strictEqual(failure?.certificate, "unknownAuthority")
    })
  )

  it.effect("an identity from files, from PEM, and with a redacted key", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(join(path, "cert.pem"), certificatePem)
      writeFileSync(join(path, "key.pem"), keyPem)
      for (const layer of [
        Tls.layerIdentity({ certificate: join(path, "cert.pem"), privateKey: join(path, "key.pem") }),
        Tls.layerIdentity({ certificate: certificatePem, privateKey: keyPem }),
        Tls.layerIdentity({ certificate: certificatePem, privateKey: Redacted.make(keyPem) })
      ]) {
        const identity = yield* Effect.provide(Tls.Identity, layer)
        assert.isTrue(identity?.privateKey.equals(key))
        assert.isUndefined(yield* Effect.provide(Tls.ClientIdentity, layer))
      }
      const client = Tls.layerClientIdentity({ certificate: certificatePem, privateKey: keyPem })
      assert.isDefined(yield* Effect.provide(Tls.ClientIdentity, client))
      assert.isUndefined(yield* Effect.provide(Tls.Identity, client))
    })
  )

  it.effect("files that cannot be read are named, with the system's reason", () =>
    Effect.gen(function* () {
      const message = yield* failureOf(Tls.layerIdentity({ certificate: "/nowhere/cert.pem", privateKey: keyPem }))
      assert.include(message, "Tls.layerIdentity certificate")
      assert.include(message, "/nowhere/cert.pem")
      assert.include(message, "ENOENT")
    })
  )

  it.effect("a key of another certificate is told, and no key stands in the message", () =>
    Effect.gen(function* () {
      const other = generateKey("ecdsa").export({ format: "pem", type: "pkcs8" }) as string
      const message = yield* failureOf(Tls.layerIdentity({ certificate: certificatePem, privateKey: other }))
      assert.include(message, "Tls.layerIdentity privateKey is PEM text: it belongs to none of the certificates")
      assert.notInclude(message, other.split("\n")[1]!)
    })
  )

  it.effect("own roots from a file, PEM and DER", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "root.pem")
      writeFileSync(path, anchorPem)
      for (const source of [path, anchorPem, anchor.certificate]) {
        assert.isUndefined(yield* judged(Tls.layerTrustRoots(source), [end.certificate], "a.example"))
      }
      assert.include(yield* failureOf(Tls.layerTrustRoots()), "Tls.layerTrustRoots is empty")
      assert.include(yield* failureOf(Tls.layerTrustRoots("/nowhere")), "ENOENT")
      assert.include(yield* failureOf(Tls.layerTrustRoots(keyPem)), "BEGIN CERTIFICATE")
    })
  )

  it.effect("pins, a verifier of one's own, and no protection at all", () =>
    Effect.gen(function* () {
      const pin = new X509Certificate(end.certificate).fingerprint256
      assert.isUndefined(yield* judged(Tls.layerTrustPinned(pin), [end.certificate], "other.example"))
      assert.isDefined(yield* judged(Tls.layerTrustPinned(pin), [anchor.certificate], "other.example"))
      assert.include(yield* failureOf(Tls.layerTrustPinned(pin, "abc")), '"abc"; allowed: SHA-256')
      const mine = Tls.layerTrust(() => ({ alert: 46, message: "no" }))
      assert.strictEqual((yield* judged(mine, [end.certificate], "a.example"))?.message, "no")
      assert.isUndefined(yield* judged(Tls.layerTrustInsecure, [end.certificate], "whatever"))
    })
  )

  it.effect("a self-signed certificate is for now, says what it is, and is trusted by hash or by itself", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 15))
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => lines.push(`${logLevel} ${String(message)}`))
      yield* Effect.gen(function* () {
        const { certificate, fingerprint } = yield* Tls.SelfSigned
        const identity = yield* Tls.Identity
        const chain = identity?.certificates ?? []
        assert.isUndefined(yield* judged(Tls.layerTrustPinned(fingerprint), chain, "any.example"))
        assert.isUndefined(yield* judged(Tls.layerTrustRoots(certificate), chain, "127.0.0.1"))
        assert.strictEqual(
          (yield* judged(Tls.layerTrustRoots(certificate), chain, "any.example"))?.certificate,
          "nameMismatch"
        )
        assert.include(lines.join("\n"), fingerprint)
        assert.match(lines[0]!, /^Warn .*development/)
      }).pipe(Effect.provide(Tls.layerSelfSigned()), Effect.provide(Logger.layer([logger])))
    })
  )

  it.effect("self-signed: names and validity that make no certificate", () =>
    Effect.gen(function* () {
      assert.include(yield* failureOf(Tls.layerSelfSigned({ names: ["a b"] })), '"a b"; allowed: DNS names')
      assert.include(yield* failureOf(Tls.layerSelfSigned({ names: [] })), "at least one")
      assert.include(yield* failureOf(Tls.layerSelfSigned({ validity: "0 seconds" })), "validity")
    })
  )

  it.effect("cipher suites that do not exist", () =>
    Effect.gen(function* () {
      const wrong = Tls.layerCipherSuites("TLS_RSA" as "TLS_AES_128_GCM_SHA256")
      const error = yield* Effect.flip(Effect.provide(engine, wrong))
      assert.include(error.message, "TLS_CHACHA20_POLY1305_SHA256")
    })
  )
})

let drawn = 0
const engine = Tls.makeEngine((length) => new Uint8Array(length).fill(++drawn & 0xff))

interface Side {
  readonly session: Tls.TlsSession
  readonly outbox: Array<{ readonly level: 0 | 1 | 2 | 3; readonly bytes: Uint8Array }>
  readonly info: () => Tls.HandshakeInfo | undefined
}

const side = (make: (options: Tls.TlsSessionOptions) => Tls.TlsSession): Side => {
  const outbox: Side["outbox"] = []
  let info: Tls.HandshakeInfo | undefined
  const session = make({
    transportParameters: Uint8Array.of(1, 1, 0),
    wallTime: 0,
    output: {
      send: (level, bytes) => outbox.push({ level, bytes }),
      secret: () => {},
      transportParameters: () => undefined,
      complete: (complete) => (info = complete),
      ticket: () => {}
    }
  })
  return { session, outbox, info: () => info }
}

/** Runs both sides in memory: ClientHello, the server's flight, the client's, tickets. The first failure, and what both learnt. */
const handshake = (clientEngine: Tls.TlsEngine, serverEngine: Tls.TlsEngine, serverName: string) => {
  const serve = serverEngine.server ?? assert.fail("the engine does not serve")
  const client = side((options) => clientEngine.client({ ...options, serverName, alpn: ["test"] }))
  const server = side((options) => serve({ ...options, alpn: ["test"] }))
  let failure = client.session.start()
  for (let turn = 0; failure === undefined && turn < 4; turn++) {
    const [from, to] = turn % 2 === 0 ? [client, server] : [server, client]
    for (const { level, bytes } of from.outbox.splice(0)) failure ??= to.session.receive(level, bytes)
  }
  return { failure, client: client.info(), server: server.info() }
}

describe("Tls.makeEngine", () => {
  it.effect("an endpoint without identity connects and does not serve", () =>
    Effect.gen(function* () {
      assert.isUndefined((yield* engine).server)
    })
  )

  it.effect("test certificates: both sides trust each other at time 0", () =>
    Effect.gen(function* () {
      const made = yield* engine
      for (const name of TestCertificates.serverNames) {
        const { client, failure, server } = handshake(made, made, name)
        assert.isUndefined(failure, failure?.message)
        assert.strictEqual(client?.alpn, "test")
        assert.lengthOf(server?.peerCertificates ?? [], 0)
      }
      assert.strictEqual(handshake(made, made, "other.test").failure?.certificate, "nameMismatch")
    }).pipe(Effect.provide(TestCertificates.layer))
  )

  it.effect("a client that trusts nobody here refuses", () =>
    Effect.gen(function* () {
      const server = yield* Effect.provide(engine, TestCertificates.layer)
      const { failure } = handshake(yield* engine, server, "localhost")
      assert.strictEqual(failure?.alert, 48)
      assert.strictEqual(failure?.certificate, "unknownAuthority")
    })
  )

  it.effect("client certificates: shown when asked for, judged, and required", () =>
    Effect.gen(function* () {
      const both = yield* Effect.provide(engine, TestCertificates.layerMutual)
      const mutual = handshake(both, both, "localhost")
      assert.isUndefined(mutual.failure, mutual.failure?.message)
      assert.deepStrictEqual(mutual.server?.peerCertificates, TestCertificates.clientIdentity().certificates)
      const anonymous = yield* Effect.provide(engine, TestCertificates.layer)
      assert.strictEqual(handshake(anonymous, both, "localhost").failure?.alert, 116)
      // A server's identity is not shown as the client's.
      const asking = Tls.layerClientCertificates({ roots: [TestCertificates.authorityPem()], required: false })
      const lenient = yield* engine.pipe(Effect.provide(asking), Effect.provide(TestCertificates.layer))
      const shown = handshake(anonymous, lenient, "localhost")
      assert.isUndefined(shown.failure)
      assert.lengthOf(shown.server?.peerCertificates ?? [], 0)
    })
  )

  it.effect("another engine takes the place of ours", () =>
    Effect.gen(function* () {
      const ours = yield* engine
      const other = { ...ours }
      assert.strictEqual(yield* Effect.provide(engine, Tls.layerEngine(other)), other)
    })
  )
})

describe("test certificates", () => {
  it("are the same bytes for the same seed", () => {
    const again = TestCertificates.issue({
      seed: 2,
      subject: "effect-mpquic test server",
      names: TestCertificates.serverNames
    })
    assert.deepStrictEqual(again.certificates, TestCertificates.identity().certificates)
    const other = TestCertificates.issue({ seed: 9, subject: "other", names: ["other.test"] })
    assert.notDeepEqual(other.certificates, again.certificates)
    const ask = (now: number) =>
      TestCertificates.trust()({ chain: other.certificates, serverName: "other.test", usage: "serverAuth", now })
    assert.isUndefined(ask(0))
    assert.isUndefined(ask(Date.UTC(2119, 0, 1)))
  })
})

describe("QuicError", () => {
  it.effect("is caught by reason, tells its message, and keeps the cause", () =>
    Effect.gen(function* () {
      const cause = new Error("no permission")
      const reason = new QuicError.SocketFailed({ operation: "bind", address: "0.0.0.0:443", code: "EACCES", cause })
      const error = new QuicError.QuicError({ reason })
      assert.isTrue(QuicError.QuicError.isQuicError(error))
      assert.isFalse(QuicError.isQuicError(reason))
      assert.strictEqual(error.cause, cause)
      assert.strictEqual(error.message, "bind failed on the UDP socket 0.0.0.0:443: EACCES")
      const caught = yield* Effect.fail(error).pipe(
        Effect.catchReason("QuicError", "SocketFailed", ({ code }) => Effect.succeed(code))
      )
      assert.strictEqual(caught, "EACCES")
    })
  )

  it("names codes and alerts (RFC 9000 section 20.1)", () => {
    assert.strictEqual(QuicError.transportErrorName(0x03), "FLOW_CONTROL_ERROR")
    assert.strictEqual(QuicError.transportErrorName(0x12a), "CRYPTO_ERROR (bad_certificate)")
    assert.strictEqual(QuicError.transportErrorName(0x99), "0x99")
    assert.strictEqual(QuicError.alertName(120), "no_application_protocol")
    const closed = new QuicError.TransportClosed({ code: 0xa, reason: "odd", frameType: 6, initiator: "peer" })
    assert.strictEqual(closed.message, "the peer closed the connection with PROTOCOL_VIOLATION at frame 0x6: odd")
  })
})
