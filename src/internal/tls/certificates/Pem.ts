/** PEM text (RFC 7468): labelled base64 between BEGIN and END lines. */

export interface PemBlock {
  /** Such as `CERTIFICATE` or `PRIVATE KEY`. */
  readonly label: string
  readonly bytes: Uint8Array
  /** The block as it stands in the text, headers included. */
  readonly text: string
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([\s\S]*?)-----END \1-----/g

/** Every block in the text, in order; what stands between blocks is explanation and is skipped. */
export const readPem = (text: string): ReadonlyArray<PemBlock> => {
  const blocks: Array<PemBlock> = []
  for (const match of text.matchAll(BLOCK)) {
    blocks.push({ label: match[1]!, bytes: Buffer.from(match[2]!, "base64"), text: match[0] })
  }
  return blocks
}

/** The certificates in the text, DER, in order. */
export const readPemCertificates = (text: string): ReadonlyArray<Uint8Array> =>
  readPem(text)
    .filter((block) => isCertificateLabel(block.label))
    .map((block) => block.bytes)

export const isCertificateLabel = (label: string): boolean => label === "CERTIFICATE" || label === "X509 CERTIFICATE"

/** One block, in lines of 64. */
export const writePem = (label: string, bytes: Uint8Array): string => {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64")
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`
}
