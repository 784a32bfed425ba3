/**
 * What a client may hear before its handshake goes on: Retry and Version Negotiation (RFC 9000 sections 6.2, 17.2.1, 17.2.5).
 * It owns the connection IDs that the handshake binds to its transcript.
 */
import type { PacketProtection } from "../crypto/Protection.ts"
import { verifyRetry } from "../crypto/RetryIntegrity.ts"
import { Space } from "../recovery/PathRecovery.ts"
import type { DatagramBurst } from "../wire/Datagram.ts"
import type { PacketHeader } from "../wire/PacketHeader.ts"
import type { ConnectionState } from "./ConnectionState.ts"
import type { HandshakeIds } from "./Parameters.ts"

/** Longest token of a Retry: it goes into every Initial, and must leave room there for what the packet is for. */
const MAX_RETRY_TOKEN = 1000
/** Versions of a Version Negotiation packet that are told. */
const MAX_VERSIONS = 16

export class Negotiation {
  ids: HandshakeIds
  private readonly core: ConnectionState
  private readonly protection: PacketProtection

  constructor(core: ConnectionState, protection: PacketProtection, ids: HandshakeIds) {
    this.core = core
    this.protection = protection
    this.ids = ids
  }

  /** The first authentic packet of the peer: the connection ID that it wants to be sent to. */
  onPeerConnectionId(bytes: Uint8Array): void {
    this.ids = { ...this.ids, remote: bytes }
    this.core.paths.primary.remoteIds.setInitial(bytes)
  }

  onRetry(burst: DatagramBurst, datagram: number, header: PacketHeader): void {
    const { core } = this
    const start = burst.offset[datagram]!
    const packet = burst.slab.subarray(start, start + burst.length[datagram]!)
    // RFC 9000 section 17.2.5.2: one Retry at the most, and none after the server's first other packet.
    const { original, retry, remote } = this.ids
    const late = core.role === "server" || retry !== undefined || remote !== undefined
    const scid = burst.slab.slice(header.scidStart, header.scidStart + header.scidLength)
    if (
      late ||
      header.version !== core.handshake.version ||
      header.tokenLength > MAX_RETRY_TOKEN ||
      Buffer.compare(scid, original) === 0 ||
      !verifyRetry(this.protection, core.handshake.version, original, packet)
    ) {
      core.packetsDropped++
      return
    }
    core.token = burst.slab.slice(header.tokenStart, header.tokenStart + header.tokenLength)
    this.ids = { ...this.ids, retry: scid }
    const { primary } = core.paths
    primary.remoteIds.setInitial(scid)
    core.handshake.installInitial(scid)
    primary.recovery.withdraw(Space.initial)
  }

  onVersionNegotiation(burst: DatagramBurst, header: PacketHeader): void {
    const { core } = this
    const { original, retry } = this.ids
    const echoed = burst.slab.subarray(header.scidStart, header.scidStart + header.scidLength)
    // RFC 9000 sections 6.2 and 17.2.1: only as the first answer, and only with the ID that we made up.
    if (
      core.role === "server" ||
      core.packetsReceived > 0 ||
      retry !== undefined ||
      Buffer.compare(echoed, original) !== 0
    ) {
      core.packetsDropped++
      return
    }
    const offered: Array<number> = []
    const view = new DataView(burst.slab.buffer, burst.slab.byteOffset)
    for (let at = 0; at < header.versionsLength; at += 4) {
      const version = view.getUint32(header.versionsStart + at)
      // RFC 9000 section 6.2: one that lists the version in use is a mistake or an attack.
      if (version === core.handshake.version) return
      if (offered.length < MAX_VERSIONS) offered.push(version)
    }
    core.vanish({ kind: "versionNegotiation", offered })
  }
}
