/**
 * Certificates for tests: always the same bytes, so that runs under `TestClock` are the same to the byte. Everyone has the
 * private keys; they must not be trusted anywhere but in tests.
 *
 * @module
 * @since 0.1.0
 */
import { Context, Effect, Layer } from "effect"
import { badArgument, copyOf, name, text, wholeNumber } from "../internal/runtime/Arguments.ts"
import { ed25519FromSeed, issueCertificate } from "../internal/tls/certificates/IssueCertificate.ts"
import type { Issued } from "../internal/tls/certificates/IssueCertificate.ts"
import { writePem } from "../internal/tls/certificates/Pem.ts"
import { trustAnchors } from "../internal/tls/certificates/Trust.ts"
import * as Tls from "../Tls.ts"

/**
 * Names that the server's certificate is for.
 *
 * @category constants
 * @since 0.1.0
 */
export const serverNames: ReadonlyArray<string> = ["localhost", "server.test", "127.0.0.1", "::1"]

/** From the start of `TestClock` on, for longer than any test. */
const notBefore = 0
const notAfter = Date.UTC(2120, 0, 1)

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

let authority: Issued | undefined

const issuer = (): Issued => {
  authority ??= issueCertificate({
    key: ed25519FromSeed(bytes(32, 1)),
    subject: "effect-mpquic test authority",
    authority: { pathLength: 0 },
    notBefore,
    notAfter,
    random: (length) => bytes(length, 1)
  })
  return authority
}

/**
 * A certificate from the test authority. `seed` (0 to 255) stands for key and serial number: the same seed and names give the
 * same bytes. Throws a `QuicError` (`BadConfig`) for a wrong option.
 *
 * @category constructors
 * @since 0.1.0
 */
export const issue = (options: {
  readonly seed: number
  readonly subject: string
  readonly names: ReadonlyArray<string>
}): Tls.Identity => {
  const given = copyOf("options", options)
  const seed = wholeNumber("seed", given.seed, 0, 255)
  const subject = text("subject", given.subject)
  if (!Array.isArray(given.names)) throw badArgument("names", given.names, "host names and IP addresses in an array")
  const { certificate, privateKey } = issueCertificate({
    key: ed25519FromSeed(bytes(32, seed)),
    subject,
    names: given.names.map((each, index) => name(`names[${index}]`, each)),
    issuer: issuer(),
    notBefore,
    notAfter,
    random: (length) => bytes(length, seed)
  })
  return { certificates: [certificate], privateKey }
}

/**
 * The certificate of the test authority, in PEM.
 *
 * @category getters
 * @since 0.1.0
 */
export const authorityPem = (): string => writePem("CERTIFICATE", issuer().certificate)

let server: Tls.Identity | undefined

/**
 * The server's identity (Ed25519), for `serverNames`.
 *
 * @category getters
 * @since 0.1.0
 */
export const identity = (): Tls.Identity => {
  server ??= issue({ seed: 2, subject: "effect-mpquic test server", names: serverNames })
  return server
}

let client: Tls.Identity | undefined

/**
 * A client's identity (Ed25519), for servers that ask for one.
 *
 * @category getters
 * @since 0.1.0
 */
export const clientIdentity = (): Tls.Identity => {
  client ??= issue({ seed: 3, subject: "effect-mpquic test client", names: [] })
  return client
}

/**
 * Trusts the test authority, and nobody else.
 *
 * @category getters
 * @since 0.1.0
 */
export const trust = (): Tls.CertificateVerifier => trustAnchors([issuer().certificate])

/**
 * Serves as `identity`, and trusts the test authority.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Layer.effectContext(
  Effect.sync(() => Context.make(Tls.Identity, identity()).pipe(Context.add(Tls.Trust, trust())))
)

/**
 * The same, and shows `clientIdentity` to servers that ask.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMutual: Layer.Layer<never> = Layer.effectContext(
  Effect.sync(() =>
    Context.make(Tls.Identity, identity()).pipe(
      Context.add(Tls.Trust, trust()),
      Context.add(Tls.ClientIdentity, clientIdentity()),
      Context.add(Tls.ClientCertificates, { demand: "require", verify: trust() })
    )
  )
)
