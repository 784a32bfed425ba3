/** Transport parameters of this side, and the checks that authenticate the peer's (RFC 9000 sections 7.3, 7.4, 18.2). */
import { encodeTransportParameters, defaultTransportParameters } from "../wire/TransportParameters.ts"
import type { TransportParameters } from "../wire/TransportParameters.ts"
import { TransportError, Version, violation } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import type { ConnectionSettings } from "../Settings.ts"
import { addressParameters } from "./AddressExchange.ts"

/** Connection IDs that the handshake binds to its transcript. */
export interface HandshakeIds {
  /** Destination of the client's very first Initial. */
  readonly original: Uint8Array
  /** Source of the server's Retry. */
  readonly retry: Uint8Array | undefined
  /** First source connection ID of this side. */
  readonly local: Uint8Array
  /** First source connection ID of the peer. */
  readonly remote: Uint8Array | undefined
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0

/** Grease: an ID of the form 31 * N + 27 (RFC 9000 section 18.1). */
const greaseId = (random: Uint8Array): number => 31 * (((random[0]! << 16) | (random[1]! << 8) | random[2]!) >>> 0) + 27

export const encodeParameters = (options: {
  readonly role: Role
  readonly settings: ConnectionSettings
  readonly version: number
  readonly ids: HandshakeIds
  /** Servers alone send one. */
  readonly resetToken: Uint8Array | undefined
  readonly initialMaxPathId: number | undefined
  readonly random: (length: number) => Uint8Array
}): Uint8Array => {
  const { settings, ids, role } = options
  const server = role === "server"
  const parameters: TransportParameters = {
    ...defaultTransportParameters,
    originalDestinationConnectionId: server ? ids.original : undefined,
    retrySourceConnectionId: server ? ids.retry : undefined,
    initialSourceConnectionId: ids.local,
    statelessResetToken: options.resetToken,
    maxIdleTimeout: settings.idleTimeout,
    maxUdpPayloadSize: Math.max(settings.maxMtu, settings.initialMtu),
    initialMaxData: settings.initialConnectionWindow,
    initialMaxStreamDataBidiLocal: settings.initialStreamWindow,
    initialMaxStreamDataBidiRemote: settings.initialStreamWindow,
    initialMaxStreamDataUni: settings.initialStreamWindow,
    initialMaxStreamsBidi: settings.maxBidiStreams,
    initialMaxStreamsUni: settings.maxUniStreams,
    ackDelayExponent: settings.ackDelayExponent,
    maxAckDelay: settings.maxAckDelay,
    activeConnectionIdLimit: settings.activeConnectionIdLimit,
    maxDatagramFrameSize: settings.maxDatagramFrameSize,
    initialMaxPathId: options.initialMaxPathId,
    ...addressParameters(settings, options.initialMaxPathId !== undefined),
    versionInformation: { chosen: options.version, available: [Version.v1, Version.v2] }
  }
  if (!settings.grease) return encodeTransportParameters(parameters)
  const random = options.random(8)
  return encodeTransportParameters(parameters, {
    id: greaseId(random),
    bytes: random.subarray(3, 3 + (random[7]! & 3))
  })
}

const mismatch = (name: string): Violation =>
  violation(TransportError.transportParameter, `${name} does not match the packets`)

/** What the peer says about connection IDs must be what its packets showed, and multipath needs IDs that are not empty. */
export const checkParameters = (
  role: Role,
  parameters: TransportParameters,
  ids: HandshakeIds,
  version: number
): Violation | undefined => {
  if (!same(parameters.initialSourceConnectionId, ids.remote)) return mismatch("initial_source_connection_id")
  if (role === "client") {
    if (!same(parameters.originalDestinationConnectionId, ids.original)) {
      return mismatch("original_destination_connection_id")
    }
    if (!same(parameters.retrySourceConnectionId, ids.retry)) return mismatch("retry_source_connection_id")
  }
  // NEG-8
  if (parameters.initialMaxPathId !== undefined && ids.remote!.length === 0) {
    return violation(TransportError.protocolViolation, "initial_max_path_id from a peer with empty connection IDs")
  }
  // RFC 9368 section 4: the version that was chosen must be the one in use.
  const information = parameters.versionInformation
  if (information !== undefined && information.chosen !== version) {
    return violation(TransportError.versionNegotiation, "version_information names another version than the one in use")
  }
  return undefined
}
