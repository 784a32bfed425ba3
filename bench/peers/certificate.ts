/**
 * A self-signed certificate in PEM, made on the spot as every peer's is: ECDSA with P-256.
 */
import { randomBytes } from "node:crypto"
import { generateKey, issueCertificate } from "../../src/internal/tls/certificates/IssueCertificate.ts"
import { writePem } from "../../src/internal/tls/certificates/Pem.ts"

const DAY = 86_400_000

export const selfSigned = (): { readonly cert: string; readonly key: string } => {
  const key = generateKey("ecdsa")
  const { certificate } = issueCertificate({
    key,
    subject: "bench",
    names: ["localhost", "127.0.0.1"],
    notBefore: Date.now() - DAY,
    notAfter: Date.now() + DAY,
    random: randomBytes
  })
  return { cert: writePem("CERTIFICATE", certificate), key: key.export({ type: "pkcs8", format: "pem" }) as string }
}
