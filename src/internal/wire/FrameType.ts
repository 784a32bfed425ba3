/**
 * Frame types and what the protocol says of each: RFC 9000 section 12.4 (table 3), RFC 9221 section 4,
 * draft-ietf-quic-multipath-21 section 4, draft-ietf-quic-address-discovery section 5, and the frames of
 * draft-seemann-quic-nat-traversal-02 section 6 as noq has them.
 */
import { Level } from "./Protocol.ts"

export const FrameType = {
  padding: 0x00,
  ping: 0x01,
  ack: 0x02,
  ackEcn: 0x03,
  resetStream: 0x04,
  stopSending: 0x05,
  crypto: 0x06,
  newToken: 0x07,
  /** STREAM is 0x08 to 0x0f: `stream` plus the bits of `StreamBit`. */
  stream: 0x08,
  maxData: 0x10,
  maxStreamData: 0x11,
  maxStreamsBidi: 0x12,
  maxStreamsUni: 0x13,
  dataBlocked: 0x14,
  streamDataBlocked: 0x15,
  streamsBlockedBidi: 0x16,
  streamsBlockedUni: 0x17,
  newConnectionId: 0x18,
  retireConnectionId: 0x19,
  pathChallenge: 0x1a,
  pathResponse: 0x1b,
  connectionClose: 0x1c,
  applicationClose: 0x1d,
  handshakeDone: 0x1e,
  datagram: 0x30,
  datagramWithLength: 0x31,
  pathAck: 0x3e,
  pathAckEcn: 0x3f,
  pathAbandon: 0x3e75,
  pathStatusBackup: 0x3e76,
  pathStatusAvailable: 0x3e77,
  pathNewConnectionId: 0x3e78,
  pathRetireConnectionId: 0x3e79,
  maxPathId: 0x3e7a,
  pathsBlocked: 0x3e7b,
  pathCidsBlocked: 0x3e7c,
  addIpv4Address: 0x3d_7f90,
  addIpv6Address: 0x3d_7f91,
  reachOutIpv4: 0x3d_7f92,
  reachOutIpv6: 0x3d_7f93,
  removeAddress: 0x3d_7f94,
  observedIpv4Address: 0x9f_81a6,
  observedIpv6Address: 0x9f_81a7
} as const

/** Low bits of a STREAM frame's type (RFC 9000 section 19.8). */
export const StreamBit = { fin: 0x01, length: 0x02, offset: 0x04 } as const

/** The largest value of a path ID (draft-21 section 2.1). */
export const MAX_PATH_ID = 0xffff_ffff

/** Bits of `frameTraits`. The low four are the levels at which the frame may be: `1 << level`. */
export const FrameTrait = { ackEliciting: 0x10, probing: 0x20, multipath: 0x40, known: 0x80 } as const

const FIRST_WIDE = FrameType.pathAbandon
const LAST_WIDE = FrameType.pathCidsBlocked
const FIRST_ADDRESS = FrameType.addIpv4Address
const LAST_ADDRESS = FrameType.removeAddress
const FIRST_OBSERVED = FrameType.observedIpv4Address
const LAST_OBSERVED = FrameType.observedIpv6Address

const narrow = new Uint8Array(0x40)
const wide = new Uint8Array(LAST_WIDE - FIRST_WIDE + 1)
const addresses = new Uint8Array(LAST_ADDRESS - FIRST_ADDRESS + 1)
const observed = new Uint8Array(LAST_OBSERVED - FIRST_OBSERVED + 1)
const names = new Map<number, string>()

const I = 1 << Level.initial
const H = 1 << Level.handshake
const Z = 1 << Level.zeroRtt
const O = 1 << Level.oneRtt
const E = FrameTrait.ackEliciting
const P = FrameTrait.probing
const M = FrameTrait.multipath

const define = (type: number, name: string, traits: number): void => {
  if (type < 0x40) narrow[type] = traits | FrameTrait.known
  else if (type <= LAST_WIDE) wide[type - FIRST_WIDE] = traits | FrameTrait.known
  else if (type <= LAST_ADDRESS) addresses[type - FIRST_ADDRESS] = traits | FrameTrait.known
  else observed[type - FIRST_OBSERVED] = traits | FrameTrait.known
  names.set(type, name)
}

// Not in 0-RTT, by RFC 9000 section 12.5: what answers the server (ACK, CRYPTO, PATH_RESPONSE, RETIRE_CONNECTION_ID) or
// comes from it (NEW_TOKEN, HANDSHAKE_DONE).
define(FrameType.padding, "PADDING", I | H | Z | O | P)
define(FrameType.ping, "PING", I | H | Z | O | E)
define(FrameType.ack, "ACK", I | H | O)
define(FrameType.ackEcn, "ACK", I | H | O)
define(FrameType.resetStream, "RESET_STREAM", Z | O | E)
define(FrameType.stopSending, "STOP_SENDING", Z | O | E)
define(FrameType.crypto, "CRYPTO", I | H | O | E)
define(FrameType.newToken, "NEW_TOKEN", O | E)
for (let bits = 0; bits < 8; bits++) define(FrameType.stream | bits, "STREAM", Z | O | E)
define(FrameType.maxData, "MAX_DATA", Z | O | E)
define(FrameType.maxStreamData, "MAX_STREAM_DATA", Z | O | E)
define(FrameType.maxStreamsBidi, "MAX_STREAMS", Z | O | E)
define(FrameType.maxStreamsUni, "MAX_STREAMS", Z | O | E)
define(FrameType.dataBlocked, "DATA_BLOCKED", Z | O | E)
define(FrameType.streamDataBlocked, "STREAM_DATA_BLOCKED", Z | O | E)
define(FrameType.streamsBlockedBidi, "STREAMS_BLOCKED", Z | O | E)
define(FrameType.streamsBlockedUni, "STREAMS_BLOCKED", Z | O | E)
define(FrameType.newConnectionId, "NEW_CONNECTION_ID", Z | O | E | P)
define(FrameType.retireConnectionId, "RETIRE_CONNECTION_ID", O | E)
define(FrameType.pathChallenge, "PATH_CHALLENGE", Z | O | E | P)
define(FrameType.pathResponse, "PATH_RESPONSE", O | E | P)
define(FrameType.connectionClose, "CONNECTION_CLOSE", I | H | Z | O)
define(FrameType.applicationClose, "CONNECTION_CLOSE", Z | O)
define(FrameType.handshakeDone, "HANDSHAKE_DONE", O | E)
define(FrameType.datagram, "DATAGRAM", Z | O | E)
define(FrameType.datagramWithLength, "DATAGRAM", Z | O | E)
// FRM-1: only in 1-RTT. FRM-4: all but PATH_ACK are ack-eliciting.
define(FrameType.pathAck, "PATH_ACK", O | M)
define(FrameType.pathAckEcn, "PATH_ACK", O | M)
define(FrameType.pathAbandon, "PATH_ABANDON", O | M | E)
define(FrameType.pathStatusBackup, "PATH_STATUS_BACKUP", O | M | E)
define(FrameType.pathStatusAvailable, "PATH_STATUS_AVAILABLE", O | M | E)
define(FrameType.pathNewConnectionId, "PATH_NEW_CONNECTION_ID", O | M | E | P)
define(FrameType.pathRetireConnectionId, "PATH_RETIRE_CONNECTION_ID", O | M | E)
define(FrameType.maxPathId, "MAX_PATH_ID", O | M | E)
define(FrameType.pathsBlocked, "PATHS_BLOCKED", O | M | E)
define(FrameType.pathCidsBlocked, "PATH_CIDS_BLOCKED", O | M | E)
// Only in 1-RTT: what they say of follows from the parameters of both. Reports are probing frames (address discovery
// section 5), so that they can go along with a challenge.
define(FrameType.addIpv4Address, "ADD_ADDRESS", O | E)
define(FrameType.addIpv6Address, "ADD_ADDRESS", O | E)
define(FrameType.reachOutIpv4, "REACH_OUT", O | E)
define(FrameType.reachOutIpv6, "REACH_OUT", O | E)
define(FrameType.removeAddress, "REMOVE_ADDRESS", O | E)
define(FrameType.observedIpv4Address, "OBSERVED_ADDRESS", O | E | P)
define(FrameType.observedIpv6Address, "OBSERVED_ADDRESS", O | E | P)

/** What is known of a frame type, as bits of `FrameTrait` and levels; 0 for a type that is unknown. */
export const frameTraits = (type: number): number =>
  type < 0x40
    ? narrow[type]!
    : type >= FIRST_WIDE && type <= LAST_WIDE
      ? wide[type - FIRST_WIDE]!
      : type >= FIRST_ADDRESS && type <= LAST_ADDRESS
        ? addresses[type - FIRST_ADDRESS]!
        : type >= FIRST_OBSERVED && type <= LAST_OBSERVED
          ? observed[type - FIRST_OBSERVED]!
          : 0

/** Whether the receiver must acknowledge a packet that has such a frame (RFC 9000 section 13.2). */
export const isAckEliciting = (type: number): boolean => (frameTraits(type) & FrameTrait.ackEliciting) !== 0

/** Whether packets of `level` may carry the frame (RFC 9000 table 3 and section 12.5; FRM-1). */
export const isFrameAllowed = (type: number, level: Level): boolean => (frameTraits(type) & (1 << level)) !== 0

/** Whether the frame may be in a probing packet, which does not migrate a path (RFC 9000 section 9.1). */
export const isProbingFrame = (type: number): boolean => (frameTraits(type) & FrameTrait.probing) !== 0

/** Whether the frame exists only once multipath has been negotiated (NEG-2). */
export const isMultipathFrame = (type: number): boolean => (frameTraits(type) & FrameTrait.multipath) !== 0

export const isStreamFrame = (type: number): boolean => type >= FrameType.stream && type < FrameType.maxData

/** The frame's name in its specification; the type in hexadecimal when it is unknown. */
export const frameName = (type: number): string => names.get(type) ?? `0x${type.toString(16)}`
