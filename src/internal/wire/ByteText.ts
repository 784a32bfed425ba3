/**
 * A few bytes as text, one character each, for what is kept long and read seldom: a Uint8Array takes 200 bytes beside its
 * content, of which there would be a dozen in each idle connection.
 */
export const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")

export const bytesOf = (text: string): Uint8Array => {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}
