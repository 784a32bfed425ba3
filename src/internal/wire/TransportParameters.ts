/**
 * Transport parameters (RFC 9000 section 18, RFC 9221, RFC 9287, RFC 9368, draft-ietf-quic-multipath-21 section 2.1,
 * draft-ietf-quic-address-discovery section 4; of address advertisement as noq has it).
 */
import { aboveMaxStreams, ByteReader, ByteWriter, MAX_SAFE, varintLength } from "./Cursor.ts"
import { MAX_PATH_ID } from "./FrameType.ts"
import { MAX_CONNECTION_ID, RESET_TOKEN, TransportError, violation } from "./Protocol.ts"
import type { Role, Violation } from "./Protocol.ts"

export const TransportParameterId = {
  originalDestinationConnectionId: 0x00,
  maxIdleTimeout: 0x01,
  statelessResetToken: 0x02,
  maxUdpPayloadSize: 0x03,
  initialMaxData: 0x04,
  initialMaxStreamDataBidiLocal: 0x05,
  initialMaxStreamDataBidiRemote: 0x06,
  initialMaxStreamDataUni: 0x07,
  initialMaxStreamsBidi: 0x08,
  initialMaxStreamsUni: 0x09,
  ackDelayExponent: 0x0a,
  maxAckDelay: 0x0b,
  disableActiveMigration: 0x0c,
  preferredAddress: 0x0d,
  activeConnectionIdLimit: 0x0e,
  initialSourceConnectionId: 0x0f,
  retrySourceConnectionId: 0x10,
  versionInformation: 0x11,
  maxDatagramFrameSize: 0x20,
  initialMaxPathId: 0x3e,
  greaseQuicBit: 0x2ab2,
  addressDiscovery: 0x9f81_a176,
  maxAdvertised: 0x3d7f_9112_0401
} as const

/** One address of a server, as on the wire: 4 or 16 bytes. */
export interface WireAddress {
  readonly address: Uint8Array
  readonly port: number
}

/** RFC 9000 section 18.2. An address of all zeros with port 0 means none. */
export interface PreferredAddress {
  readonly ipv4: WireAddress | undefined
  readonly ipv6: WireAddress | undefined
  readonly connectionId: Uint8Array
  readonly statelessResetToken: Uint8Array
}

/** RFC 9368 section 3. */
export interface VersionInformation {
  readonly chosen: number
  readonly available: ReadonlyArray<number>
}

/** Every parameter with the value that counts when it is absent. Limits above 2^53-1 read as 2^53-1. */
export interface TransportParameters {
  /** Server only. */
  readonly originalDestinationConnectionId: Uint8Array | undefined
  /** ms; 0: none. */
  readonly maxIdleTimeout: number
  /** Server only; 16 bytes. */
  readonly statelessResetToken: Uint8Array | undefined
  /** Bytes of a UDP payload, 1200 or more. */
  readonly maxUdpPayloadSize: number
  readonly initialMaxData: number
  readonly initialMaxStreamDataBidiLocal: number
  readonly initialMaxStreamDataBidiRemote: number
  readonly initialMaxStreamDataUni: number
  readonly initialMaxStreamsBidi: number
  readonly initialMaxStreamsUni: number
  /** 0 to 20. */
  readonly ackDelayExponent: number
  /** ms, below 2^14. */
  readonly maxAckDelay: number
  readonly disableActiveMigration: boolean
  /** Server only. */
  readonly preferredAddress: PreferredAddress | undefined
  /** 2 or more; with multipath for each path (NEG-11). */
  readonly activeConnectionIdLimit: number
  readonly initialSourceConnectionId: Uint8Array | undefined
  /** Server only. */
  readonly retrySourceConnectionId: Uint8Array | undefined
  readonly versionInformation: VersionInformation | undefined
  /** Bytes of a whole DATAGRAM frame; 0: not supported (RFC 9221 section 3). */
  readonly maxDatagramFrameSize: number
  readonly greaseQuicBit: boolean
  /** Undefined: no multipath (NEG-2). 0 is multipath with path 0 only (NEG-4). */
  readonly initialMaxPathId: number | undefined
  /** Whether observed addresses are reported (0), wanted (1), or both (2); undefined: neither. */
  readonly addressDiscovery: number | undefined
  /** Addresses of the other side that are kept, 1 to 255; undefined: advertisement is not supported. */
  readonly maxAdvertised: number | undefined
}

/** What counts for a peer that sends nothing (RFC 9000 section 18.2). */
export const defaultTransportParameters: TransportParameters = {
  originalDestinationConnectionId: undefined,
  maxIdleTimeout: 0,
  statelessResetToken: undefined,
  maxUdpPayloadSize: 65527,
  initialMaxData: 0,
  initialMaxStreamDataBidiLocal: 0,
  initialMaxStreamDataBidiRemote: 0,
  initialMaxStreamDataUni: 0,
  initialMaxStreamsBidi: 0,
  initialMaxStreamsUni: 0,
  ackDelayExponent: 3,
  maxAckDelay: 25,
  disableActiveMigration: false,
  preferredAddress: undefined,
  activeConnectionIdLimit: 2,
  initialSourceConnectionId: undefined,
  retrySourceConnectionId: undefined,
  versionInformation: undefined,
  maxDatagramFrameSize: 0,
  greaseQuicBit: false,
  initialMaxPathId: undefined,
  addressDiscovery: undefined,
  maxAdvertised: undefined
}

type Mutable = { -readonly [Key in keyof TransportParameters]: TransportParameters[Key] }

type KeysOf<Value> = {
  [Key in keyof TransportParameters]-?: [TransportParameters[Key]] extends [Value] ? Key : never
}[keyof TransportParameters]

/** Parameters that are one variable-length integer. */
const numbers = [
  "maxIdleTimeout",
  "maxUdpPayloadSize",
  "initialMaxData",
  "initialMaxStreamDataBidiLocal",
  "initialMaxStreamDataBidiRemote",
  "initialMaxStreamDataUni",
  "initialMaxStreamsBidi",
  "initialMaxStreamsUni",
  "ackDelayExponent",
  "maxAckDelay",
  "activeConnectionIdLimit",
  "maxDatagramFrameSize",
  "initialMaxPathId",
  "addressDiscovery"
] as const satisfies ReadonlyArray<KeysOf<number | undefined>>

const flags = ["disableActiveMigration", "greaseQuicBit"] as const satisfies ReadonlyArray<KeysOf<boolean>>

const byteStrings = [
  "originalDestinationConnectionId",
  "statelessResetToken",
  "initialSourceConnectionId",
  "retrySourceConnectionId"
] as const satisfies ReadonlyArray<KeysOf<Uint8Array | undefined>>

const numberOf = new Map<number, (typeof numbers)[number]>(numbers.map((key) => [TransportParameterId[key], key]))
const flagOf = new Map<number, (typeof flags)[number]>(flags.map((key) => [TransportParameterId[key], key]))
const bytesOf = new Map<number, (typeof byteStrings)[number]>(
  byteStrings.map((key) => [TransportParameterId[key], key])
)

/** RFC 9000 section 18.2: a client must not send these. */
const serverOnly: ReadonlySet<number> = new Set([
  TransportParameterId.originalDestinationConnectionId,
  TransportParameterId.preferredAddress,
  TransportParameterId.retrySourceConnectionId,
  TransportParameterId.statelessResetToken
])

const PREFERRED_ADDRESS_FIXED = 4 + 2 + 16 + 2 + 1 + RESET_TOKEN

/**
 * The extension's content for TLS. Parameters that have their default value are left out. `grease`: one more parameter, with
 * an id of the form 31 * N + 27 (RFC 9000 section 18.1).
 */
export const encodeTransportParameters = (
  parameters: TransportParameters,
  grease?: { readonly id: number; readonly bytes: Uint8Array }
): Uint8Array => {
  const preferred = parameters.preferredAddress
  const versions = parameters.versionInformation
  // More than the fixed ones can take; what has no fixed length is added.
  const w = new ByteWriter(
    new Uint8Array(
      1024 +
        (grease === undefined ? 0 : 16 + grease.bytes.length) +
        (versions === undefined ? 0 : 4 * versions.available.length)
    )
  )
  for (const key of numbers) {
    const value = parameters[key]
    if (value === undefined || value === defaultTransportParameters[key]) continue
    w.varint(TransportParameterId[key])
    w.varint(varintLength(value))
    w.varint(value)
  }
  for (const key of flags) {
    if (!parameters[key]) continue
    w.varint(TransportParameterId[key])
    w.varint(0)
  }
  for (const key of byteStrings) {
    const value = parameters[key]
    if (value !== undefined) writeParameter(w, TransportParameterId[key], value)
  }
  if (preferred !== undefined) {
    w.varint(TransportParameterId.preferredAddress)
    w.varint(PREFERRED_ADDRESS_FIXED + preferred.connectionId.length)
    writeAddress(w, preferred.ipv4, 4)
    writeAddress(w, preferred.ipv6, 16)
    w.uint8(preferred.connectionId.length)
    w.copy(preferred.connectionId)
    w.copy(preferred.statelessResetToken)
  }
  if (parameters.maxAdvertised !== undefined) {
    writeParameter(w, TransportParameterId.maxAdvertised, Uint8Array.of(parameters.maxAdvertised))
  }
  if (versions !== undefined) {
    w.varint(TransportParameterId.versionInformation)
    w.varint(4 + 4 * versions.available.length)
    w.uint32(versions.chosen)
    for (const version of versions.available) w.uint32(version)
  }
  if (grease !== undefined) writeParameter(w, grease.id, grease.bytes)
  return w.bytes.slice(0, w.position)
}

const writeParameter = (w: ByteWriter, id: number, value: Uint8Array): void => {
  w.varint(id)
  w.varint(value.length)
  w.copy(value)
}

const writeAddress = (w: ByteWriter, address: WireAddress | undefined, length: number): void => {
  if (address === undefined) {
    w.position += length + 2
  } else {
    w.copy(address.address)
    w.uint16(address.port)
  }
}

/**
 * Reads what `from` sent. Unknown parameters are ignored; what breaks a rule is a TRANSPORT_PARAMETER_ERROR. Nothing in the
 * result refers to `bytes`. Whether connection IDs match is for the connection to say (RFC 9000 section 7.3).
 */
export const decodeTransportParameters = (bytes: Uint8Array, from: Role): TransportParameters | Violation => {
  const reader = new ByteReader(bytes)
  const parameters: Mutable = { ...defaultTransportParameters }
  const seen = new Set<number>()
  while (reader.remaining > 0) {
    const id = reader.varint()
    const length = reader.varint()
    const start = reader.skip(length)
    if (reader.failed) return refuse("transport parameters end too early")
    // Ids from 2^53 on, all unknown, are not exact: two of them may look the same.
    if (id <= MAX_SAFE) {
      if (seen.has(id)) return refuse(`transport parameter 0x${id.toString(16)} is there twice`)
      seen.add(id)
    }
    if (from === "client" && serverOnly.has(id)) {
      return refuse(`transport parameter 0x${id.toString(16)} is for servers only`)
    }
    const problem = readParameter(parameters, id, bytes, start, start + length, from)
    if (problem !== undefined) return refuse(problem)
  }
  return parameters
}

const refuse = (reason: string): Violation => violation(TransportError.transportParameter, reason)

/** Reads one parameter into `parameters`; gives what is wrong with it. */
const readParameter = (
  parameters: Mutable,
  id: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  from: Role
): string | undefined => {
  const reader = new ByteReader(bytes, start, end)
  const number = numberOf.get(id)
  if (number !== undefined) {
    const value = reader.varint()
    if (reader.failed || reader.remaining > 0) return `${number} is not one integer`
    parameters[number] = Math.min(value, MAX_SAFE)
    return checkNumber(id, value, bytes, end)
  }
  const flag = flagOf.get(id)
  if (flag !== undefined) {
    parameters[flag] = true
    return start === end ? undefined : `${flag} is not empty`
  }
  const byteString = bytesOf.get(id)
  if (byteString !== undefined) {
    parameters[byteString] = bytes.slice(start, end)
    const length = end - start
    return id === TransportParameterId.statelessResetToken
      ? length === RESET_TOKEN
        ? undefined
        : "statelessResetToken is not of 16 bytes"
      : length <= MAX_CONNECTION_ID
        ? undefined
        : `${byteString} is above 20 bytes`
  }
  if (id === TransportParameterId.preferredAddress) return readPreferredAddress(parameters, reader)
  if (id === TransportParameterId.maxAdvertised) return readMaxAdvertised(parameters, reader)
  if (id === TransportParameterId.versionInformation) return readVersionInformation(parameters, reader, from)
  return undefined
}

const checkNumber = (id: number, value: number, bytes: Uint8Array, end: number): string | undefined => {
  switch (id) {
    case TransportParameterId.maxUdpPayloadSize:
      return value < 1200 ? "maxUdpPayloadSize is below 1200" : undefined
    case TransportParameterId.initialMaxStreamsBidi:
    case TransportParameterId.initialMaxStreamsUni:
      return aboveMaxStreams(value, bytes, end) ? "more than 2^60 streams" : undefined
    case TransportParameterId.ackDelayExponent:
      return value > 20 ? "ackDelayExponent is above 20" : undefined
    case TransportParameterId.maxAckDelay:
      return value >= 2 ** 14 ? "maxAckDelay is not below 2^14" : undefined
    case TransportParameterId.activeConnectionIdLimit:
      return value < 2 ? "activeConnectionIdLimit is below 2" : undefined
    case TransportParameterId.initialMaxPathId:
      // NEG-6
      return value > MAX_PATH_ID ? "initialMaxPathId is above 2^32-1" : undefined
    case TransportParameterId.addressDiscovery:
      // Address discovery section 4.
      return value > 2 ? "addressDiscovery is above 2" : undefined
    default:
      return undefined
  }
}

const readPreferredAddress = (parameters: Mutable, reader: ByteReader): string | undefined => {
  const ipv4 = readAddress(reader, 4)
  const ipv6 = readAddress(reader, 16)
  const length = reader.uint8()
  const connectionId = reader.view(length).slice()
  const statelessResetToken = reader.view(RESET_TOKEN).slice()
  if (reader.failed || reader.remaining > 0) return "preferredAddress has a wrong length"
  // RFC 9000 section 18.2: a server with zero-length connection IDs must not send it.
  if (length === 0 || length > MAX_CONNECTION_ID) return "preferredAddress has no connection ID of 1 to 20 bytes"
  parameters.preferredAddress = { ipv4, ipv6, connectionId, statelessResetToken }
  return undefined
}

const readAddress = (reader: ByteReader, length: number): WireAddress | undefined => {
  const address = reader.view(length).slice()
  const port = reader.uint16()
  return port === 0 && address.every((byte) => byte === 0) ? undefined : { address, port }
}

/** One byte, and no variable-length integer: that is how noq writes it, and all that it takes. */
const readMaxAdvertised = (parameters: Mutable, reader: ByteReader): string | undefined => {
  const most = reader.uint8()
  if (reader.failed || reader.remaining > 0) return "maxAdvertised is not one byte"
  parameters.maxAdvertised = most
  return most === 0 ? "maxAdvertised is 0" : undefined
}

/** RFC 9368 sections 3 and 4: what is a parsing failure. */
const readVersionInformation = (parameters: Mutable, reader: ByteReader, from: Role): string | undefined => {
  if (reader.remaining === 0 || reader.remaining % 4 !== 0) return "versionInformation has a wrong length"
  const chosen = reader.uint32()
  const available: Array<number> = []
  while (reader.remaining > 0) available.push(reader.uint32())
  if (chosen === 0 || available.includes(0)) return "versionInformation has version 0"
  if (from === "client" && !available.includes(chosen)) return "versionInformation does not offer its chosen version"
  parameters.versionInformation = { chosen, available }
  return undefined
}
