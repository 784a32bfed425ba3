import { SentFrameKind } from "../recovery/SentFrames.ts"
import type { SentFrame } from "../recovery/SentFrames.ts"
import type { CryptoStream } from "../streams/CryptoStream.ts"
import { Level } from "../wire/Protocol.ts"

export type CopyKind = "stream" | "crypto" | "reset" | "control" | "datagram"

/** What a record may be copied as; undefined for what concerns paths and probes. */
export const copyKind = (frame: SentFrame): CopyKind | undefined => {
  switch (frame.kind) {
    case SentFrameKind.stream:
      return "stream"
    case SentFrameKind.crypto:
      return (frame.owner as CryptoStream).level === Level.oneRtt ? "crypto" : undefined
    case SentFrameKind.resetStream:
    case SentFrameKind.stopSending:
      return "reset"
    case SentFrameKind.maxData:
    case SentFrameKind.maxStreamData:
    case SentFrameKind.maxStreams:
    case SentFrameKind.dataBlocked:
    case SentFrameKind.streamDataBlocked:
    case SentFrameKind.streamsBlocked:
      return "control"
    case SentFrameKind.datagram:
      return frame.owner === undefined ? undefined : "datagram"
    default:
      return undefined
  }
}
