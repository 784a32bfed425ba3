/**
 * Certificates that were accepted, as they were read: a client meets the same few again and again. Nothing of a chain that is
 * refused stays, so nobody who is not trusted has a say in what is kept.
 */
import { hash } from "node:crypto"
import { parseCertificate } from "./ParsedCertificate.ts"
import type { ParsedCertificate, Unreadable } from "./ParsedCertificate.ts"

/** Bytes of all certificates that are kept, and the most of one. They take a few times that as values. */
const MAX_BYTES = 262_144
const MAX_KEPT = 8192

export class CertificateCache {
  private readonly entries = new Map<string, ParsedCertificate>()
  private total = 0

  /** Bytes of the certificates that are kept. */
  get bytes(): number {
    return this.total
  }

  parse(der: Uint8Array): ParsedCertificate | Unreadable {
    // A copy: the caller's bytes may lie in a buffer that is used again.
    return this.entries.get(keyOf(der)) ?? parseCertificate(der.slice())
  }

  /** Keeps certificates of a chain that was accepted. Starts over when full. */
  keep(certificates: ReadonlyArray<ParsedCertificate>): void {
    for (const certificate of certificates) {
      const { length } = certificate.der
      const key = keyOf(certificate.der)
      if (length > MAX_KEPT || this.entries.has(key)) continue
      if (this.total + length > MAX_BYTES) {
        this.entries.clear()
        this.total = 0
      }
      this.entries.set(key, certificate)
      this.total += length
    }
  }
}

const keyOf = (der: Uint8Array): string => hash("sha256", der, "base64")
