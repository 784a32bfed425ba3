/** An authority and a server's certificate that every implementation takes (ECDSA P-256), made anew for each run. */
import { randomBytes } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { generateKey, issueCertificate } from "../../../src/internal/tls/certificates/IssueCertificate.ts"
import { writePem } from "../../../src/internal/tls/certificates/Pem.ts"

export interface Credentials {
  /** PEM files. */
  readonly authority: string
  readonly certificate: string
  readonly privateKey: string
}

const HOUR = 3_600_000

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

export const makeCredentials = (folder: string): Credentials => {
  const dates = { notBefore: Date.now() - HOUR, notAfter: Date.now() + 24 * HOUR }
  const authority = issueCertificate({
    key: generateKey("ecdsa"),
    subject: "interop authority",
    authority: { pathLength: 0 },
    random,
    ...dates
  })
  const leaf = issueCertificate({
    key: generateKey("ecdsa"),
    subject: "interop server",
    names: ["localhost", "127.0.0.1"],
    issuer: authority,
    random,
    ...dates
  })
  mkdirSync(folder, { recursive: true })
  const write = (name: string, text: string): string => {
    const file = join(folder, name)
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }
  return {
    authority: write("authority.pem", writePem("CERTIFICATE", authority.certificate)),
    certificate: write("server.pem", writePem("CERTIFICATE", leaf.certificate)),
    privateKey: write("server.key", leaf.privateKey.export({ type: "pkcs8", format: "pem" }).toString())
  }
}
