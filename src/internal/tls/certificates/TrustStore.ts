/** Trust anchors, found by subject. A root is parsed when a chain first leads to it, and then kept. */
import { getCACertificates } from "node:tls"
import { outline } from "./Der.ts"
import { parseCertificate } from "./ParsedCertificate.ts"
import type { ParsedCertificate } from "./ParsedCertificate.ts"
import { readPemCertificates } from "./Pem.ts"

interface Entry {
  readonly der: Uint8Array
  parsed: ParsedCertificate | "unreadable" | undefined
}

export class TrustStore {
  private readonly bySubject = new Map<string, Array<Entry>>()
  private entries = 0

  /** `roots`: DER. Those that are no certificates are left out; `size` tells how many are in. */
  constructor(roots: Iterable<Uint8Array>) {
    for (const der of roots) {
      const parts = outline(der)
      if (parts === undefined) continue
      const same = this.bySubject.get(parts.subject)
      const entry: Entry = { der, parsed: undefined }
      if (same === undefined) this.bySubject.set(parts.subject, [entry])
      else if (same.some((other) => Buffer.compare(other.der, der) === 0)) continue
      else same.push(entry)
      this.entries++
    }
  }

  get size(): number {
    return this.entries
  }

  /** The anchors of that name (encoded, latin1). */
  find(subject: string): ReadonlyArray<ParsedCertificate> {
    const found: Array<ParsedCertificate> = []
    for (const entry of this.bySubject.get(subject) ?? []) {
      if (entry.parsed === undefined) {
        const parsed = parseCertificate(entry.der)
        entry.parsed = "problem" in parsed ? "unreadable" : parsed
      }
      if (entry.parsed !== "unreadable") found.push(entry.parsed)
    }
    return found
  }

  /** Whether exactly this certificate is an anchor. */
  has(certificate: ParsedCertificate): boolean {
    return (
      this.bySubject.get(certificate.subject)?.some((entry) => Buffer.compare(entry.der, certificate.der) === 0) ??
      false
    )
  }
}

let system: TrustStore | undefined

/**
 * The roots that Node trusts: Mozilla's, as bundled, with NODE_EXTRA_CA_CERTS and `--use-system-ca` honoured. Read once
 * for the process.
 */
export const systemTrustStore = (): TrustStore => {
  system ??= new TrustStore(getCACertificates("default").flatMap(readPemCertificates))
  return system
}
