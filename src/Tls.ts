/**
 * Identities and trust: which certificate an endpoint shows, and whose certificates it believes. All of it has a default
 * (no identity, the system's roots, TLS 1.3 in this library) and is replaced with a Layer.
 *
 * **Limits** (Whoever decides about trust)
 *
 * - A peer may send 32 certificates in 64 kB, each of up to 32 kB and with up to 1,024 names; other handshake messages have
 *   up to 16 kB.
 * - RSA keys have 2,048 (where roots decide) to 8,192 bits and exponents of up to 33 bits, elliptic curve keys a named curve.
 * - A path has up to 8 certificates. Authorities of one name are tried until 4 signatures were wrong, those first whose key
 *   the certificate names.
 *
 * What the worst messages of a stranger cost is in SECURITY.md.
 *
 * **Example** (A server with files, and a client that trusts its own authority)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Tls } from "effect-mpquic"
 *
 * const server = Tls.layerIdentity({ certificate: "cert.pem", privateKey: "key.pem" })
 * const client = Layer.merge(Tls.layerTrustRoots("authority.pem"), Tls.layerClientIdentity({
 *   certificate: "me.pem",
 *   privateKey: "me.key"
 * }))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Clock, Context, Duration, Effect, Formatter, Layer, Redacted } from "effect"
import { readFileSync } from "node:fs"
import * as Arguments from "./internal/runtime/Arguments.ts"
import { badConfig } from "./internal/runtime/BadConfig.ts"
import { RandomBytes } from "./internal/runtime/Random.ts"
import { generateKey, issueCertificate } from "./internal/tls/certificates/IssueCertificate.ts"
import { loadIdentity } from "./internal/tls/certificates/LoadIdentity.ts"
import { normalizeDns, parseIp } from "./internal/tls/certificates/Names.ts"
import { writePem } from "./internal/tls/certificates/Pem.ts"
import {
  fingerprintOf,
  insecure,
  parseFingerprint,
  systemTrust,
  trustPinned,
  trustRoots
} from "./internal/tls/certificates/Trust.ts"
import { cipherSuites } from "./internal/tls/CipherSuites.ts"
import type { CertificateInput, CertificateVerifier, Identity as TlsIdentity } from "./internal/tls/Identity.ts"
import { makeTlsEngine } from "./internal/tls/OwnTls.ts"
import type {
  CipherSuite,
  HandshakeInfo,
  TicketSealing,
  TlsEngine,
  TlsFailure,
  TlsOutput,
  TlsSession,
  TlsSessionOptions
} from "./internal/tls/TlsSession.ts"
import { BadConfig, QuicError } from "./QuicError.ts"

export type {
  CertificateInput,
  CertificateVerifier,
  CipherSuite,
  HandshakeInfo,
  TicketSealing,
  TlsEngine,
  TlsFailure,
  TlsOutput,
  TlsSession,
  TlsSessionOptions
}

/**
 * A certificate chain (DER, leaf first) with the private key of its leaf.
 *
 * @category models
 * @since 0.1.0
 */
export interface Identity extends TlsIdentity {}

/**
 * What a server shows. Undefined, the default: the endpoint cannot serve.
 *
 * @category references
 * @since 0.1.0
 */
export const Identity: Context.Reference<Identity | undefined> = Context.Reference<Identity | undefined>(
  "effect-mpquic/Tls/Identity",
  { defaultValue: () => undefined }
)

/**
 * What a client shows to servers that ask for a certificate. Undefined, the default: nothing. It is apart from `Identity`,
 * so that an endpoint which serves does not tell who it is wherever it connects to.
 *
 * @category references
 * @since 0.1.0
 */
export const ClientIdentity: Context.Reference<Identity | undefined> = Context.Reference<Identity | undefined>(
  "effect-mpquic/Tls/ClientIdentity",
  { defaultValue: () => undefined }
)

/**
 * How a client judges the certificates of servers. Default: the roots that Node trusts.
 *
 * @category references
 * @since 0.1.0
 */
export const Trust: Context.Reference<CertificateVerifier> = Context.Reference<CertificateVerifier>(
  "effect-mpquic/Tls/Trust",
  { defaultValue: systemTrust }
)

/**
 * Whether a server asks clients for a certificate, and how it judges them.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientCertificates {
  /** `require` ends the handshake with a client that shows none. */
  readonly demand: "request" | "require"
  readonly verify: CertificateVerifier
}

/**
 * Undefined, the default: servers do not ask clients for certificates.
 *
 * @category references
 * @since 0.1.0
 */
export const ClientCertificates: Context.Reference<ClientCertificates | undefined> = Context.Reference<
  ClientCertificates | undefined
>("effect-mpquic/Tls/ClientCertificates", { defaultValue: () => undefined })

/**
 * The cipher suites that are offered and taken, in the order of preference. Default: AES-128-GCM, AES-256-GCM,
 * ChaCha20-Poly1305.
 *
 * @category references
 * @since 0.1.0
 */
export const CipherSuites: Context.Reference<ReadonlyArray<CipherSuite["name"]>> = Context.Reference<
  ReadonlyArray<CipherSuite["name"]>
>("effect-mpquic/Tls/CipherSuites", { defaultValue: () => cipherSuites.map((suite) => suite.name) })

/**
 * Another TLS engine, which then decides about everything in this module by itself. Undefined, the default: the engine of
 * this library, with the references above.
 *
 * @category references
 * @since 0.1.0
 */
export const Engine: Context.Reference<TlsEngine | undefined> = Context.Reference<TlsEngine | undefined>(
  "effect-mpquic/Tls/Engine",
  { defaultValue: () => undefined }
)

/**
 * A certificate and its key: each a path to a PEM file, or the PEM text itself.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface IdentityOptions {
  /** The chain, leaf first; the root may be left out. */
  readonly certificate: string
  /** The key of the leaf: PKCS #8, SEC 1 or PKCS #1, not encrypted. */
  readonly privateKey: string | Redacted.Redacted<string>
}

/**
 * Serves with this identity. Fails with `BadConfig` when a file cannot be read, does not parse, or the key is not that of
 * the certificate.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerIdentity = (options: IdentityOptions): Layer.Layer<never, QuicError> =>
  Layer.effect(Identity, readIdentity(options, "Tls.layerIdentity"))

/**
 * Shows this identity to servers that ask for one. Fails as `layerIdentity` does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClientIdentity = (options: IdentityOptions): Layer.Layer<never, QuicError> =>
  Layer.effect(ClientIdentity, readIdentity(options, "Tls.layerClientIdentity"))

/**
 * What clients must know of a self-signed certificate.
 *
 * @category models
 * @since 0.2.0
 */
export interface SelfSignedCertificate {
  /** SHA-256 of the certificate in hex: what clients give to `layerTrustPinned`. */
  readonly fingerprint: string
  /** The certificate in PEM: what clients give to `layerTrustRoots`. */
  readonly certificate: string
}

/**
 * What `layerSelfSigned` made.
 *
 * @category services
 * @since 0.1.0
 */
export class SelfSigned extends Context.Service<SelfSigned, SelfSignedCertificate>()("effect-mpquic/Tls/SelfSigned") {}

/**
 * Settings of a self-signed certificate.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface SelfSignedOptions {
  /** DNS names and IP addresses that it is for. Default: `localhost`, `127.0.0.1` and `::1`. */
  readonly names?: ReadonlyArray<string> | undefined
  /** From now. Default 13 days: browsers pin certificates of up to two weeks only. */
  readonly validity?: Duration.Input | undefined
}

/** Clocks differ: the certificate is valid a little before it was made. */
const backdated = Duration.hours(1)

/**
 * Serves with a certificate that is made on the spot (ECDSA P-256) and that nobody trusts: for development. It is another
 * one after every start. A warning tells its hash, and so does the service `SelfSigned`; clients trust it with
 * `layerTrustPinned`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSelfSigned = (options: SelfSignedOptions = {}): Layer.Layer<SelfSigned, QuicError> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const given = Arguments.attempt("Tls.layerSelfSigned", () => {
        const copy = Arguments.copyOf("Tls.layerSelfSigned", options, "Tls.layerSelfSigned ")
        if (copy.names !== undefined && !Array.isArray(copy.names))
          throw Arguments.badArgument("Tls.layerSelfSigned names", copy.names, "an array of names")
        return copy
      })
      if (given instanceof QuicError) return yield* given
      const names = given.names ?? ["localhost", "127.0.0.1", "::1"]
      const bad = names.find(
        (name) =>
          typeof name !== "string" ||
          (parseIp(name) === undefined && normalizeDns(name.replace(/^\*\./, "")) === undefined)
      )
      if (bad !== undefined || names.length === 0) {
        return yield* badConfig(
          "Tls.layerSelfSigned names",
          names.length === 0 ? "empty" : Arguments.describe(bad),
          "DNS names and IP addresses, at least one"
        )
      }
      const validity = Arguments.durationOf(given.validity === undefined ? "13 days" : given.validity)
      const allowed = { minimum: Duration.seconds(1), maximum: Duration.days(3650) }
      if (validity === undefined || !Duration.between(validity, allowed)) {
        return yield* badConfig(
          "Tls.layerSelfSigned validity",
          Arguments.describe(given.validity),
          'a duration from 1 second to 3650 days, such as "90 days"'
        )
      }
      const now = yield* Clock.currentTimeMillis
      const { certificate, privateKey } = issueCertificate({
        key: generateKey("ecdsa"),
        subject: "self-signed",
        names,
        notBefore: now - Duration.toMillis(backdated),
        notAfter: now + Duration.toMillis(validity),
        random: yield* RandomBytes
      })
      const fingerprint = fingerprintOf(certificate)
      yield* Effect.logWarning(
        `Serving with a self-signed certificate for ${names.join(", ")}. This is for development: clients trust it only when told to, with Tls.layerTrustPinned("${fingerprint}")`
      )
      return Context.make(SelfSigned, { fingerprint, certificate: writePem("CERTIFICATE", certificate) }).pipe(
        Context.add(Identity, { certificates: [certificate], privateKey })
      )
    })
  )

/**
 * Trusts the roots that Node trusts: Mozilla's, NODE_EXTRA_CA_CERTS, and the system's with `--use-system-ca`. This is the
 * default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTrustSystem: Layer.Layer<never> = Layer.sync(Trust, systemTrust)

/**
 * Trusts these authorities and no others, or exactly these self-signed certificates. Each is a path to a PEM file, PEM text
 * (with any number of certificates) or DER. Fails with `BadConfig` when one cannot be read.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTrustRoots = (...roots: ReadonlyArray<string | Uint8Array>): Layer.Layer<never, QuicError> =>
  Layer.effect(Trust, verifierOf("Tls.layerTrustRoots", roots))

/**
 * Trusts a server by the SHA-256 of its certificate, or of its public key (SubjectPublicKeyInfo), and looks at nothing else:
 * neither name, nor dates, nor authority. Hashes are hex, hex with colons, or base64. Fails with `BadConfig` when one is
 * none of these.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTrustPinned = (...hashes: ReadonlyArray<string>): Layer.Layer<never, QuicError> =>
  Layer.effect(
    Trust,
    Effect.map(
      Effect.forEach(hashes, (hash) => {
        const pin = typeof hash === "string" ? parseFingerprint(hash) : undefined
        return pin === undefined
          ? badConfig(
              "Tls.layerTrustPinned",
              Arguments.describe(hash),
              "SHA-256 in hex (colons may be in it) or base64"
            )
          : Effect.succeed(pin)
      }),
      trustPinned
    )
  )

/**
 * Decides with a function of one's own, or with one that an Effect gives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTrust = <E = never, R = never>(
  verifier: CertificateVerifier | Effect.Effect<CertificateVerifier, E, R>
): Layer.Layer<never, E, R> =>
  Effect.isEffect(verifier) ? Layer.effect(Trust, verifier) : Layer.succeed(Trust, verifier)

/**
 * Believes every server, whatever certificate it shows. Connections are encrypted, but not protected: anyone on the way can
 * pretend to be the server, and read and change all that is sent. Only for tests, measurements, and servers that are reached
 * over a network nobody else is on. `layerTrustPinned` is as easy, and safe.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTrustInsecure: Layer.Layer<never> = Layer.sync(Trust, insecure)

/**
 * Asks clients for certificates that these authorities issued. Roots are given as to `layerTrustRoots`. The certificate
 * that a client showed is in `Connection.handshake`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClientCertificates = (options: {
  readonly roots: ReadonlyArray<string | Uint8Array>
  /** Whether clients without a certificate are refused. Default: true. */
  readonly required?: boolean | undefined
}): Layer.Layer<never, QuicError> =>
  Layer.effect(
    ClientCertificates,
    Effect.map(verifierOf("Tls.layerClientCertificates", options.roots), (verify) => ({
      demand: options.required === false ? ("request" as const) : ("require" as const),
      verify
    }))
  )

/**
 * Offers and takes only these cipher suites, in this order.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCipherSuites = (...names: ReadonlyArray<CipherSuite["name"]>): Layer.Layer<never> =>
  Layer.succeed(CipherSuites, names)

/**
 * Handshakes with another TLS engine.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEngine = (engine: TlsEngine): Layer.Layer<never> => Layer.succeed(Engine, engine)

/**
 * The engine that the references of this module describe, for an endpoint. `keyLog` takes lines of an SSLKEYLOGFILE.
 *
 * @internal
 */
export const makeEngine = Effect.fnUntraced(function* (
  random: (length: number) => Uint8Array,
  options?: { readonly keyLog?: ((line: string) => void) | undefined }
) {
  const engine = yield* Engine
  if (engine !== undefined) return engine
  const suites = yield* CipherSuites
  const known = cipherSuites.map((suite) => suite.name)
  if (suites.length === 0 || suites.some((suite) => !known.includes(suite))) {
    return yield* badConfig("Tls.CipherSuites", Formatter.format(suites), known.join(", "))
  }
  const clients = yield* ClientCertificates
  const shared = {
    random,
    cipherSuites: suites,
    verifyServer: yield* Trust,
    clientAuth: clients?.demand ?? ("none" as const),
    verifyClient: clients?.verify,
    keyLog: options?.keyLog
  }
  const identity = yield* Identity
  const clientIdentity = yield* ClientIdentity
  return yield* Effect.try({
    try: (): TlsEngine => ({
      client: makeTlsEngine({ ...shared, identity: clientIdentity }).client,
      server: makeTlsEngine({ ...shared, identity }).server
    }),
    catch: (cause) => unusable("Tls", "its references", cause instanceof Error ? cause.message : String(cause))
  })
})

const unusable = (field: string, value: string, problem: string, allowed = "settings that TLS 1.3 can work with") =>
  new QuicError({ reason: new BadConfig({ field, value, allowed, problem }) })

const ALLOWED = {
  certificate: "a PEM certificate chain, leaf first, or the path to one",
  privateKey: "the PEM private key of the certificate, not encrypted, or the path to it"
} as const

const isPem = (text: string): boolean => text.includes("-----BEGIN ")

/** How a setting is called in messages: secrets that stand in it must not get out. */
const shown = (text: string): string => (isPem(text) ? "PEM text" : Formatter.format(text))

/** The text itself when it is PEM, or what is in the file it names. */
const readPemSource = (field: string, source: string, allowed: string): Effect.Effect<string, QuicError> =>
  isPem(source)
    ? Effect.succeed(source)
    : Effect.try({
        try: () => readFileSync(source, "utf8"),
        catch: (cause) =>
          unusable(field, shown(source), cause instanceof Error ? cause.message : "it cannot be read", allowed)
      })

const readIdentity = Effect.fnUntraced(function* (options: IdentityOptions, operation: string) {
  const sources = Arguments.attempt(operation, () => {
    const { certificate, privateKey } = Arguments.copyOf(operation, options, `${operation} `)
    return {
      certificate: Arguments.text(`${operation} certificate`, certificate),
      privateKey: Arguments.text(
        `${operation} privateKey`,
        Redacted.isRedacted(privateKey) ? Redacted.value(privateKey) : privateKey
      )
    }
  })
  if (sources instanceof QuicError) return yield* sources
  const certificate = yield* readPemSource(`${operation} certificate`, sources.certificate, ALLOWED.certificate)
  const privateKey = yield* readPemSource(`${operation} privateKey`, sources.privateKey, ALLOWED.privateKey)
  const identity = loadIdentity(certificate, privateKey)
  if (!("problem" in identity)) return identity
  const { message, source } = identity
  return yield* unusable(`${operation} ${source}`, shown(sources[source]), message, ALLOWED[source])
})

const verifierOf = Effect.fnUntraced(function* (operation: string, roots: ReadonlyArray<string | Uint8Array>) {
  const allowed = "certificates in PEM or DER, or paths to PEM files"
  const contents = yield* Effect.forEach(roots, (root): Effect.Effect<string | Uint8Array, QuicError> => {
    if (typeof root === "string") return readPemSource(operation, root, allowed)
    return Arguments.bytesOf(root) === undefined
      ? Effect.fail(Arguments.badArgument(operation, root, allowed))
      : Effect.succeed(root)
  })
  const verifier = trustRoots(contents)
  if (typeof verifier === "function") return verifier
  const value = roots.map((root) => (typeof root === "string" ? shown(root) : "DER")).join(", ")
  return yield* unusable(operation, value === "" ? "empty" : value, verifier.problem, allowed)
})
