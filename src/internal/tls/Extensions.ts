/** Extensions (RFC 8446 section 4.2): which may stand where, and what is in them. */
import { Alert, abort } from "./Alerts.ts"
import { TlsReader as Reader, encode } from "./Presentation.ts"
import type { TlsReader, TlsWriter } from "./Presentation.ts"

export const ExtensionType = {
  serverName: 0,
  maxFragmentLength: 1,
  statusRequest: 5,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  useSrtp: 14,
  heartbeat: 15,
  alpn: 16,
  signedCertificateTimestamp: 18,
  clientCertificateType: 19,
  serverCertificateType: 20,
  padding: 21,
  preSharedKey: 41,
  earlyData: 42,
  supportedVersions: 43,
  cookie: 44,
  pskKeyExchangeModes: 45,
  certificateAuthorities: 47,
  oidFilters: 48,
  postHandshakeAuth: 49,
  signatureAlgorithmsCert: 50,
  keyShare: 51,
  /** RFC 9001 section 8.2. */
  quicTransportParameters: 57
} as const

/** By type, in the order of the message. */
export type Extensions = ReadonlyMap<number, Uint8Array>

/** Messages that carry extensions, apart from ClientHello. */
export type ExtensionPlace =
  | "ServerHello"
  | "HelloRetryRequest"
  | "EncryptedExtensions"
  | "CertificateRequest"
  | "Certificate"
  | "NewSessionTicket"

// The table of RFC 8446 section 4.2, without the column of ClientHello (all but oid_filters may stand there).
const places: ReadonlyMap<number, ReadonlyArray<ExtensionPlace>> = new Map<number, ReadonlyArray<ExtensionPlace>>([
  [ExtensionType.serverName, ["EncryptedExtensions"]],
  [ExtensionType.maxFragmentLength, ["EncryptedExtensions"]],
  [ExtensionType.statusRequest, ["CertificateRequest", "Certificate"]],
  [ExtensionType.supportedGroups, ["EncryptedExtensions"]],
  [ExtensionType.signatureAlgorithms, ["CertificateRequest"]],
  [ExtensionType.useSrtp, ["EncryptedExtensions"]],
  [ExtensionType.heartbeat, ["EncryptedExtensions"]],
  [ExtensionType.alpn, ["EncryptedExtensions"]],
  [ExtensionType.signedCertificateTimestamp, ["CertificateRequest", "Certificate"]],
  [ExtensionType.clientCertificateType, ["EncryptedExtensions"]],
  [ExtensionType.serverCertificateType, ["EncryptedExtensions"]],
  [ExtensionType.padding, []],
  [ExtensionType.preSharedKey, ["ServerHello"]],
  [ExtensionType.earlyData, ["EncryptedExtensions", "NewSessionTicket"]],
  [ExtensionType.supportedVersions, ["ServerHello", "HelloRetryRequest"]],
  [ExtensionType.cookie, ["HelloRetryRequest"]],
  [ExtensionType.pskKeyExchangeModes, []],
  [ExtensionType.certificateAuthorities, ["CertificateRequest"]],
  [ExtensionType.oidFilters, ["CertificateRequest"]],
  [ExtensionType.postHandshakeAuth, []],
  [ExtensionType.signatureAlgorithmsCert, ["CertificateRequest"]],
  [ExtensionType.keyShare, ["ServerHello", "HelloRetryRequest"]],
  [ExtensionType.quicTransportParameters, ["EncryptedExtensions"]]
])

/** Reads the block of extensions at the end of a message. The same type twice is illegal (RFC 8446 section 4.2). */
export const readExtensions = (reader: TlsReader, what: string): Extensions => {
  const list = reader.nested(2)
  const extensions = new Map<number, Uint8Array>()
  while (list.remaining > 0) {
    const type = list.uint(2)
    if (extensions.has(type)) abort(Alert.illegalParameter, `extension ${type} twice in ${what}`)
    extensions.set(type, list.vector(2))
  }
  return extensions
}

/** Writes a block of extensions. */
export const writeExtensions = (writer: TlsWriter, extensions: Extensions): void => {
  writer.vector(2, () => {
    for (const [type, data] of extensions) writer.uint(2, type).vector(2, () => writer.raw(data))
  })
}

/** An extension that is known but does not belong into this message is illegal. */
const checkPlace = (type: number, place: ExtensionPlace): void => {
  const allowed = places.get(type)
  if (allowed !== undefined && !allowed.includes(place)) {
    abort(Alert.illegalParameter, `extension ${type} does not belong into ${place}`)
  }
}

/** Checks a message that announces (CertificateRequest, NewSessionTicket): what is not known is ignored. */
export const checkAnnounced = (extensions: Extensions, place: ExtensionPlace): void => {
  for (const type of extensions.keys()) checkPlace(type, place)
}

/** Checks a message that answers: what was not asked for is refused. Only the cookie comes unasked. */
export const checkAnswered = (extensions: Extensions, place: ExtensionPlace, asked: Extensions): void => {
  for (const type of extensions.keys()) {
    checkPlace(type, place)
    if (!asked.has(type) && type !== ExtensionType.cookie) {
      abort(Alert.unsupportedExtension, `extension ${type} in ${place} answers nothing`)
    }
  }
}

/** Reads all of an extension. */
const decode = <A>(data: Uint8Array, what: string, read: (reader: TlsReader) => A): A => {
  const reader = new Reader(data, what)
  const value = read(reader)
  reader.end()
  return value
}

/** Reads a list to its end. */
const readAll = (list: TlsReader, readOne: (list: TlsReader) => void): void => {
  while (list.remaining > 0) readOne(list)
}

const nothing = (): void => {}

/** What offers and requests may hold that nothing is done with here (RFC 8446 section 4.2). */
const forms: ReadonlyMap<number, (reader: TlsReader) => void> = new Map<number, (reader: TlsReader) => void>([
  [ExtensionType.earlyData, nothing],
  [ExtensionType.cookie, (reader) => reader.vector(2, 1)],
  [ExtensionType.pskKeyExchangeModes, (reader) => reader.vector(1, 1)],
  [ExtensionType.certificateAuthorities, (reader) => readAll(reader.nested(2, 3), (list) => list.vector(2, 1))],
  [
    ExtensionType.oidFilters,
    (reader) =>
      readAll(reader.nested(2), (list) => {
        list.vector(1, 1)
        list.vector(2)
      })
  ],
  [ExtensionType.postHandshakeAuth, nothing],
  [ExtensionType.signatureAlgorithmsCert, (reader) => reader.uint16List(2)]
])

/** Checks the form of what is passed over in a ClientHello or CertificateRequest: malformed is refused all the same. */
export const checkForms = (extensions: Extensions): void => {
  for (const [type, read] of forms) {
    const data = extensions.get(type)
    if (data !== undefined) decode(data, `extension ${type}`, read)
  }
}

/** The longest host name of a client, in bytes (RFC 1035 section 2.3.4). */
const MAX_HOST_NAME = 255

/** server_name (RFC 6066 section 3) of a client; undefined when no host name is in it. */
export const decodeServerName = (data: Uint8Array): string | undefined =>
  decode(data, "server_name", (reader) => {
    const list = reader.nested(2, 1)
    let host: string | undefined
    while (list.remaining > 0) {
      const type = list.uint(1)
      const name = list.vector(2, 1)
      if (type !== 0) continue
      if (host !== undefined) abort(Alert.illegalParameter, "two host names in server_name")
      const text = name.length > MAX_HOST_NAME ? "" : Buffer.from(name).toString("latin1").toLowerCase()
      // It selects identities, by the name of a file maybe. Addresses do not belong here, but some clients send them.
      if (!/^[a-z0-9_.:-]+$/.test(text)) abort(Alert.illegalParameter, "no host name in server_name")
      host = text
    }
    return host
  })

export const encodeServerName = (host: string): Uint8Array =>
  encode((writer) => writer.vector(2, () => writer.uint(1, 0).vector(2, () => writer.raw(Buffer.from(host, "latin1")))))

/** supported_groups or signature_algorithms. */
export const decodeUint16List = (data: Uint8Array, what: string): Array<number> =>
  decode(data, what, (reader) => reader.uint16List(2))

export const encodeUint16List = (values: ReadonlyArray<number>): Uint8Array =>
  encode((writer) => writer.uint16List(2, values))

/** application_layer_protocol_negotiation (RFC 7301 section 3.1). */
export const decodeAlpn = (data: Uint8Array): Array<string> =>
  decode(data, "ALPN", (reader) => {
    const list = reader.nested(2, 2)
    const names: Array<string> = []
    while (list.remaining > 0) names.push(Buffer.from(list.vector(1, 1)).toString())
    return names
  })

export const encodeAlpn = (names: ReadonlyArray<string>): Uint8Array =>
  encode((writer) =>
    writer.vector(2, () => {
      for (const name of names) writer.vector(1, () => writer.raw(Buffer.from(name)))
    })
  )

/** supported_versions of a client. */
export const decodeClientVersions = (data: Uint8Array): Array<number> =>
  decode(data, "supported_versions", (reader) => reader.uint16List(1))

export const encodeClientVersions = (versions: ReadonlyArray<number>): Uint8Array =>
  encode((writer) => writer.uint16List(1, versions))

/** One number: supported_versions of a server, key_share of a HelloRetryRequest. */
export const decodeUint16 = (data: Uint8Array, what: string): number => decode(data, what, (reader) => reader.uint(2))

export const encodeUint16 = (value: number): Uint8Array => encode((writer) => writer.uint(2, value))

/** Half of a key exchange (RFC 8446 section 4.2.8). */
export interface KeyShareEntry {
  readonly group: number
  readonly keyExchange: Uint8Array
}

const readShare = (reader: TlsReader): KeyShareEntry => ({ group: reader.uint(2), keyExchange: reader.vector(2, 1) })

const writeShare = (writer: TlsWriter, share: KeyShareEntry): void => {
  writer.uint(2, share.group).vector(2, () => writer.raw(share.keyExchange))
}

/** key_share of a client: empty when it asks for a HelloRetryRequest. */
export const decodeClientShares = (data: Uint8Array): Array<KeyShareEntry> =>
  decode(data, "key_share", (reader) => {
    const list = reader.nested(2)
    const shares: Array<KeyShareEntry> = []
    while (list.remaining > 0) shares.push(readShare(list))
    return shares
  })

export const encodeClientShares = (shares: ReadonlyArray<KeyShareEntry>): Uint8Array =>
  encode((writer) =>
    writer.vector(2, () => {
      for (const share of shares) writeShare(writer, share)
    })
  )

/** key_share of a server. */
export const decodeServerShare = (data: Uint8Array): KeyShareEntry => decode(data, "key_share", readShare)

export const encodeServerShare = (share: KeyShareEntry): Uint8Array => encode((writer) => writeShare(writer, share))

/** psk_key_exchange_modes: psk_dhe_ke alone, so that every resumption has fresh keys (RFC 8446 section 4.2.9). */
export const pskDheKe: Uint8Array = Uint8Array.of(1, 1)

/** Whether a client takes a key exchange along with a pre-shared key. */
export const hasPskDheKe = (data: Uint8Array): boolean =>
  decode(data, "psk_key_exchange_modes", (reader) => reader.vector(1, 1).includes(1))

/** A ticket as a client offers it (RFC 8446 section 4.2.11). */
export interface PskIdentity {
  readonly ticket: Uint8Array
  /** Its age in ms and `ageAdd`, modulo 2^32. */
  readonly obfuscatedAge: number
}

/** pre_shared_key of a client. */
export interface OfferedPsks {
  readonly identities: ReadonlyArray<PskIdentity>
  readonly binders: ReadonlyArray<Uint8Array>
  /** Bytes of all binders at the end of the message, which they do not cover themselves. */
  readonly bindersLength: number
}

export const decodeOfferedPsks = (data: Uint8Array): OfferedPsks =>
  decode(data, "pre_shared_key", (reader) => {
    const identities: Array<PskIdentity> = []
    readAll(reader.nested(2, 7), (list) => {
      identities.push({ ticket: list.vector(2, 1), obfuscatedAge: list.uint(4) })
    })
    const bindersLength = reader.remaining
    const binders: Array<Uint8Array> = []
    readAll(reader.nested(2, 33), (list) => binders.push(list.vector(1, 32)))
    if (identities.length !== binders.length)
      abort(Alert.illegalParameter, "pre_shared_key has not one binder for each identity")
    return { identities, binders, bindersLength }
  })

/** With one identity and an empty binder of `binderLength` bytes, to be filled in at the end of the message. */
export const encodeOfferedPsk = (identity: PskIdentity, binderLength: number): Uint8Array =>
  encode((writer) => {
    writer.vector(2, () => writer.vector(2, () => writer.raw(identity.ticket)).uint(4, identity.obfuscatedAge))
    writer.vector(2, () => writer.vector(1, () => writer.raw(new Uint8Array(binderLength))))
  })

/** A cookie is echoed as it came; this only checks its form (RFC 8446 section 4.2.2). */
export const checkCookie = (data: Uint8Array): void => {
  decode(data, "cookie", (reader) => reader.vector(2, 1))
}

/** An extension that says all by being there. */
export const checkEmpty = (data: Uint8Array, what: string): void => {
  decode(data, what, () => undefined)
}
