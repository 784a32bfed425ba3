/**
 * OpenSSL's EVP functions inside Node (version 3 and later). Contexts and ciphers are addresses.
 */
import { intFunction, pointerFunction, voidFunction } from "./Ffi.ts"
import { makeRegion } from "./Memory.ts"

export const cipherFetch = pointerFunction("EVP_CIPHER_fetch", 3)
export const contextNew = pointerFunction("EVP_CIPHER_CTX_new", 0)
export const contextFree = voidFunction("EVP_CIPHER_CTX_free", 1)
/** ctx, command, number, address. */
export const contextControl = intFunction("EVP_CIPHER_CTX_ctrl", 4)
/** ctx, 0 or 1. */
export const contextSetPadding = intFunction("EVP_CIPHER_CTX_set_padding", 2)
/** ctx, cipher, key, iv, parameters; 0n leaves as it is. */
export const encryptInit = intFunction("EVP_EncryptInit_ex2", 5)
/** ctx, out, address of the length written, in, length; out 0n is additional data. */
export const encryptUpdate = intFunction("EVP_EncryptUpdate", 5)
export const encryptFinal = intFunction("EVP_EncryptFinal_ex", 3)
export const decryptInit = intFunction("EVP_DecryptInit_ex2", 5)
export const decryptUpdate = intFunction("EVP_DecryptUpdate", 5)
/** 1: the tag is right. */
export const decryptFinal = intFunction("EVP_DecryptFinal_ex", 3)

/** EVP_CTRL_AEAD_GET_TAG. */
export const GET_TAG = 0x10n

const fetched = new Map<string, bigint>()

/** An algorithm by its name in OpenSSL, fetched once. Throws if this OpenSSL does not have it. */
export const cipherNamed = (name: string): bigint => {
  const known = fetched.get(name)
  if (known !== undefined) return known
  const text = makeRegion(name.length + 1)
  text.bytes.set(Buffer.from(`${name}\0`, "latin1"))
  const cipher = cipherFetch(0n, text.address, 0n)
  // Read after the call, so that the text is still there during it.
  if (cipher === 0n || text.bytes.length === 0) throw new Error(`OpenSSL has no ${name} here`)
  fetched.set(name, cipher)
  return cipher
}
