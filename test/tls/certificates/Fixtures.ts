import { AsnConvert } from "@peculiar/asn1-schema"
import { Certificate } from "@peculiar/asn1-x509"
import { sign } from "node:crypto"
import { ed25519FromSeed, issueCertificate } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import type { Issued, IssueOptions } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import type { CertificateInput } from "../../../src/internal/tls/Identity.ts"
import type { TlsFailure } from "../../../src/internal/tls/TlsSession.ts"
import { trustRoots } from "../../../src/internal/tls/certificates/Trust.ts"

const DAY = 86_400_000
export const NOW = Date.UTC(2026, 0, 15)

let seed = 0

/** A key of its own for every call, the same in every run. */
export const key = () => ed25519FromSeed(new Uint8Array(32).fill(++seed & 0xff).fill(seed >> 8, 0, 1))

const random = (length: number) => new Uint8Array(length).fill(++seed & 0xff)

type Overrides = Partial<Omit<IssueOptions, "random">>

export const issue = (options: Overrides & Pick<IssueOptions, "subject">): Issued =>
  issueCertificate({ key: key(), notBefore: NOW - 30 * DAY, notAfter: NOW + 30 * DAY, random, ...options })

export const root = (options: Overrides = {}): Issued => issue({ subject: "Root", authority: {}, ...options })

export const intermediate = (issuer: Issued, options: Overrides = {}): Issued =>
  issue({ subject: "Intermediate", authority: {}, issuer, ...options })

export const leaf = (issuer: Issued | undefined, options: Overrides = {}): Issued =>
  issue({ subject: "Leaf", names: ["a.example"], issuer, ...options })

/** The certificate again, changed as OpenSSL and our own issuer would not have it, and signed once more. */
export const reissue = (
  issued: Issued,
  signer: Issued,
  edit: (certificate: Certificate) => void,
  signature = (bytes: Uint8Array) => sign(null, bytes, signer.privateKey)
): Issued => {
  const certificate = AsnConvert.parse(issued.certificate, Certificate)
  edit(certificate)
  const signed = signature(new Uint8Array(AsnConvert.serialize(certificate.tbsCertificate)))
  delete certificate.tbsCertificateRaw
  certificate.signatureValue = new Uint8Array(signed).buffer
  return { ...issued, certificate: new Uint8Array(AsnConvert.serialize(certificate)) }
}

export interface Question {
  readonly anchors: ReadonlyArray<Issued>
  readonly chain: ReadonlyArray<Issued>
  readonly serverName?: string | undefined
  readonly usage?: CertificateInput["usage"] | undefined
  readonly now?: number | undefined
}

export const verify = ({ anchors, chain, serverName, usage = "serverAuth", now = NOW }: Question) => {
  const verifier = trustRoots(anchors.map((anchor) => anchor.certificate))
  if (typeof verifier !== "function") throw new Error(verifier.problem)
  return verifier({
    chain: chain.map((issued) => issued.certificate),
    serverName: usage === "serverAuth" ? (serverName ?? "a.example") : serverName,
    usage,
    now
  })
}

/** One line to compare: which alert, why, and what the message says of it. */
export const verdict = (failure: TlsFailure | undefined): string =>
  failure === undefined ? "accepted" : `${failure.alert} ${failure.certificate ?? "no reason"}`
