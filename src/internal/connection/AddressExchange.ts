/**
 * What the two sides tell each other about addresses: those that a server can be reached at too (ADD_ADDRESS, REMOVE_ADDRESS),
 * and those that each sees the other at (OBSERVED_ADDRESS, draft-ietf-quic-address-discovery). Both are the peer's word, and
 * lead to nothing by themselves.
 */
import { AdvertisedAddresses } from "../paths/AdvertisedAddresses.ts"
import type { Path } from "../paths/Path.ts"
import type { PathEvent } from "../paths/PathEvent.ts"
import { RemoteAddresses } from "../paths/RemoteAddresses.ts"
import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame, SentFrameList } from "../recovery/SentFrames.ts"
import type { ConnectionSettings } from "../Settings.ts"
import { addressFromBytes, addressToBytes } from "../wire/AddressBytes.ts"
import type { ByteWriter } from "../wire/Cursor.ts"
import { Address, sameAddress } from "../wire/Datagram.ts"
import type { FrameReader } from "../wire/FrameReader.ts"
import { FrameType } from "../wire/FrameType.ts"
import { ADDRESS_FRAME_LENGTH, writeObservedAddress } from "../wire/FrameWriter.ts"
import { TransportError, violation } from "../wire/Protocol.ts"
import type { Role, Violation } from "../wire/Protocol.ts"
import type { TransportParameters } from "../wire/TransportParameters.ts"

/** Values of the parameter (address discovery section 4). */
const ROLES = { off: undefined, send: 0, receive: 1, both: 2 } as const

/** What this side says in its transport parameters. */
export const addressParameters = (
  settings: ConnectionSettings,
  multipath: boolean
): Pick<TransportParameters, "addressDiscovery" | "maxAdvertised"> => ({
  addressDiscovery: ROLES[settings.addressDiscovery],
  // An address without a path that may lead there is of no use.
  maxAdvertised: multipath && settings.maxAdvertised > 0 ? settings.maxAdvertised : undefined
})

/** Why an address cannot be advertised. */
export type AdvertiseRefusal = "client" | "notNegotiated" | "limit"

export class AddressExchange {
  /** What the peer advertised. */
  readonly remote: RemoteAddresses
  readonly advertised = new AdvertisedAddresses()
  /** This side reports where it sees the peer. */
  reports = false
  /** Frames that were well formed, and of no use: beyond our limit, or to nowhere. */
  dropped = 0
  private receivesReports = false
  private negotiated = false
  /** Reports are numbered for the whole connection. */
  private nextReport = 0
  private readonly role: Role
  private readonly settings: ConnectionSettings
  private readonly emit: (event: PathEvent) => void

  constructor(role: Role, settings: ConnectionSettings, emit: (event: PathEvent) => void) {
    this.role = role
    this.settings = settings
    this.emit = emit
    this.remote = new RemoteAddresses(settings.maxAdvertised)
  }

  /** The handshake is complete: what both want holds. `multipath`: both sides want that. */
  begin(peer: TransportParameters, multipath: boolean, primary: Path): void {
    const { addressDiscovery: discovery, advertise, maxAdvertised } = this.settings
    const theirs = peer.addressDiscovery
    this.reports = (discovery === "send" || discovery === "both") && (theirs === 1 || theirs === 2)
    this.receivesReports = (discovery === "receive" || discovery === "both") && (theirs === 0 || theirs === 2)
    this.negotiated = multipath && maxAdvertised > 0 && peer.maxAdvertised !== undefined
    if (!this.negotiated || this.role === "client") return
    this.advertised.limit = peer.maxAdvertised!
    for (const address of advertise) this.advertise(address, primary)
  }

  /** Port 0 stands for that of the path. */
  advertise(address: Address, primary: Path): AdvertiseRefusal | undefined {
    if (this.role === "client") return "client"
    if (!this.negotiated) return "notNegotiated"
    return this.advertised.add(withPort(address, primary)) ? undefined : "limit"
  }

  withdraw(address: Address, primary: Path): void {
    this.advertised.remove(withPort(address, primary))
  }

  /** ADD_ADDRESS, REMOVE_ADDRESS, REACH_OUT. */
  onAdvertisement(type: number, reader: FrameReader): Violation | undefined {
    // As noq answers; for a frame of an extension that is not in use RFC 9000 section 12.4 leaves no other choice than an error.
    if (!this.negotiated)
      return violation(TransportError.protocolViolation, "address advertisement was not negotiated", type)
    if (type === FrameType.reachOutIpv4 || type === FrameType.reachOutIpv6) {
      if (this.role === "client") return violation(TransportError.protocolViolation, "a server sent REACH_OUT", type)
      // It asks for packets to addresses that a client made up: it may ask.
      this.dropped++
      return undefined
    }
    if (this.role === "server")
      return violation(TransportError.protocolViolation, "a client advertises addresses", type)
    if (type === FrameType.removeAddress) this.remote.remove(reader.sequence)
    else {
      const { addressLength, addressStart, bytes, port, sequence } = reader
      // Beyond the limit noq drops, too: withdrawals may have been on their way.
      if (port === 0 || !this.remote.add(sequence, addressFromBytes(bytes, addressStart, addressLength, port)))
        this.dropped++
    }
    return undefined
  }

  /** OBSERVED_ADDRESS, on the path that it is about. */
  onReport(type: number, reader: FrameReader, path: Path): Violation | undefined {
    // Address discovery section 4.
    if (!this.receivesReports)
      return violation(TransportError.protocolViolation, "reports of observed addresses were not negotiated", type)
    const { addressLength, addressStart, bytes, port, sequence } = reader
    // Section 5: what is older than what is known says nothing.
    if (sequence <= path.observedSequence) return undefined
    path.observedSequence = sequence
    const address = addressFromBytes(bytes, addressStart, addressLength, port)
    if (path.observed !== undefined && sameAddress(path.observed, address)) return undefined
    path.observed = address
    this.emit({ kind: "observed", pathId: path.id, address })
    return undefined
  }

  /** Whether the peer is to be told where it is seen on this path. */
  owesReport(path: Path): boolean {
    return this.reports && path.reportDue
  }

  /** Tells the peer where it is seen, in a packet of that path. */
  writeReport(w: ByteWriter, frames: SentFrameList, path: Path): void {
    if (!this.owesReport(path) || w.remaining < ADDRESS_FRAME_LENGTH) return
    path.reportDue = false
    path.reportSequence = this.nextReport++
    const { remote } = path
    writeObservedAddress(w, path.reportSequence, addressToBytes(remote), remote.port)
    const frame = frames.add(SentFrameKind.observedAddress)
    frame.pathId = path.id
    frame.value = path.reportSequence
  }

  /** Section 5: a report that was lost is told again, unless a newer one is under way. `path`: the one it is about. */
  onLost(frame: SentFrame, path: Path | undefined): void {
    if (frame.kind !== SentFrameKind.observedAddress) this.advertised.onLost(frame)
    else if (path !== undefined && path.reportSequence === frame.value) path.reportDue = true
  }

  onAcked(frame: SentFrame): void {
    if (frame.kind !== SentFrameKind.observedAddress) this.advertised.onAcked(frame)
  }
}

const withPort = (address: Address, { local }: Path): Address =>
  address.port === 0 ? new Address(address.host, local.port, address.family) : address
