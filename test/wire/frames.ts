/** Random frames of every type with what a reader must find in them. */
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { MAX_ACK_RANGES } from "../../src/internal/wire/FrameReader.ts"
import type { FrameReader } from "../../src/internal/wire/FrameReader.ts"
import { FrameType, MAX_PATH_ID } from "../../src/internal/wire/FrameType.ts"
import * as Write from "../../src/internal/wire/FrameWriter.ts"
import type { Random } from "./random.ts"

type Numbers = {
  [Key in keyof FrameReader]: FrameReader[Key] extends number | boolean ? Key : never
}[keyof FrameReader]

export interface SampleFrame {
  readonly type: number
  readonly bytes: Uint8Array
  /** What the length helper of this frame says. */
  readonly length: number
  readonly fields: Partial<Pick<FrameReader, Numbers>>
  readonly data?: Uint8Array
  readonly cid?: Uint8Array
  readonly token?: Uint8Array
  readonly reason?: string
  readonly ranges?: ReadonlyArray<number>
  /** It runs to the end of the packet. */
  readonly last?: boolean
}

const written = (write: (w: ByteWriter) => void): Uint8Array => {
  const w = new ByteWriter(new Uint8Array(20_000))
  write(w)
  return w.bytes.slice(0, w.position)
}

const plain = (
  type: number,
  fields: SampleFrame["fields"],
  values: ReadonlyArray<number>,
  write: (w: ByteWriter) => void
): SampleFrame => ({ type, fields, bytes: written(write), length: Write.frameLength(type, ...values) })

/** Ranges as `writeAck` wants them, from the largest numbers down. */
export const randomRanges = (random: Random, most: number): Array<number> => {
  const ranges: Array<number> = []
  let largest = random.integer()
  const count = random.between(1, most)
  for (let i = 0; i < count; i++) {
    const smallest = largest - Math.min(largest, random.integer())
    ranges.push(smallest, largest)
    const next = smallest - 2 - random.between(0, 100)
    if (next < 0) break
    largest = next
  }
  return ranges
}

const ack = (random: Random, withPath: boolean): SampleFrame => {
  const pathId = withPath ? random.integer(MAX_PATH_ID) : Write.NO_PATH
  const ranges = randomRanges(random, random.boolean() ? 5 : MAX_ACK_RANGES)
  const columns = Float64Array.from(ranges)
  const [delay, ect0, ect1, ce] = [random.integer(), random.integer(), random.integer(), random.integer()]
  const hasEcn = random.boolean()
  const bytes = written((w) => Write.writeAck(w, pathId, columns, ranges.length / 2, delay, ect0, ect1, ce, hasEcn))
  return {
    type: (withPath ? FrameType.pathAck : FrameType.ack) + (hasEcn ? 1 : 0),
    bytes,
    length: Write.ackLength(pathId, columns, ranges.length / 2, delay, ect0, ect1, ce, hasEcn),
    fields: {
      pathId: Math.max(0, pathId),
      largest: ranges[1]!,
      ackDelay: delay,
      rangeCount: ranges.length / 2,
      hasEcn,
      ect0: hasEcn ? ect0 : 0,
      ect1: hasEcn ? ect1 : 0,
      ce: hasEcn ? ce : 0
    },
    ranges
  }
}

const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(parts))

const stream = (random: Random): SampleFrame => {
  const data = random.bytes(random.between(0, 200))
  const streamId = random.integer()
  const offset = random.boolean() ? 0 : random.integer(Number.MAX_SAFE_INTEGER - data.length)
  const fin = random.boolean()
  const withLength = random.boolean()
  const header = written((w) => Write.writeStreamHeader(w, streamId, offset, data.length, fin, withLength))
  return {
    type: FrameType.stream | (offset === 0 ? 0 : 4) | (withLength ? 2 : 0) | (fin ? 1 : 0),
    bytes: concat(header, data),
    length: Write.streamHeaderLength(streamId, offset, withLength ? data.length : -1) + data.length,
    fields: { streamId, offset, fin, pathId: 0 },
    data,
    last: !withLength
  }
}

const crypto = (random: Random): SampleFrame => {
  const data = random.bytes(random.between(0, 200))
  const offset = random.integer(Number.MAX_SAFE_INTEGER - data.length)
  return {
    type: FrameType.crypto,
    bytes: concat(
      written((w) => Write.writeCryptoHeader(w, offset, data.length)),
      data
    ),
    length: Write.cryptoHeaderLength(offset, data.length) + data.length,
    fields: { offset },
    data
  }
}

const datagram = (random: Random): SampleFrame => {
  const data = random.bytes(random.between(0, 200))
  const withLength = random.boolean()
  return {
    type: withLength ? FrameType.datagramWithLength : FrameType.datagram,
    bytes: concat(
      written((w) => Write.writeDatagramHeader(w, data.length, withLength)),
      data
    ),
    length: Write.datagramHeaderLength(withLength ? data.length : -1) + data.length,
    fields: {},
    data,
    last: !withLength
  }
}

/** A frame with an address; that with an IPv6 one has the type behind `ipv4`. */
const withAddress = (random: Random, write: typeof Write.writeAddAddress, ipv4: number): SampleFrame => {
  const [sequence, addressLength, port] = [random.integer(), random.boolean() ? 4 : 16, random.between(0, 65_535)]
  const type = addressLength === 4 ? ipv4 : ipv4 + 1
  return {
    type,
    bytes: written((w) => write(w, sequence, random.bytes(addressLength), port)),
    length: Write.frameLength(type, sequence) + addressLength + 2,
    fields: { sequence, addressLength, port, pathId: 0 }
  }
}

const newConnectionId = (random: Random, withPath: boolean): SampleFrame => {
  const pathId = withPath ? random.integer(MAX_PATH_ID) : 0
  const sequence = random.integer()
  const retirePriorTo = random.integer(sequence)
  const cid = random.bytes(random.between(1, 20))
  const token = random.bytes(16)
  return {
    type: withPath ? FrameType.pathNewConnectionId : FrameType.newConnectionId,
    bytes: written((w) =>
      withPath
        ? Write.writePathNewConnectionId(w, pathId, sequence, retirePriorTo, cid, token)
        : Write.writeNewConnectionId(w, sequence, retirePriorTo, cid, token)
    ),
    length: withPath
      ? Write.pathNewConnectionIdLength(pathId, sequence, retirePriorTo, cid.length)
      : Write.newConnectionIdLength(sequence, retirePriorTo, cid.length),
    fields: { pathId, sequence, retirePriorTo },
    cid,
    token
  }
}

const connectionClose = (random: Random, application: boolean): SampleFrame => {
  const code = random.integer()
  const frameType = application ? -1 : random.integer()
  const reason = "é".repeat(random.between(0, 50))
  return {
    type: application ? FrameType.applicationClose : FrameType.connectionClose,
    bytes: written((w) => Write.writeConnectionClose(w, code, frameType, reason)),
    length: Write.connectionCloseLength(code, frameType, 2 * reason.length),
    fields: { code, offendingType: Math.max(0, frameType) },
    reason
  }
}

const pathData = (random: Random, response: boolean): SampleFrame => {
  const data = random.bytes(8)
  return {
    type: response ? FrameType.pathResponse : FrameType.pathChallenge,
    bytes: written((w) => (response ? Write.writePathResponse : Write.writePathChallenge)(w, data)),
    length: Write.PATH_CHALLENGE_LENGTH,
    fields: {},
    data
  }
}

/** Makes a frame of each kind, RFC 9000 and RFC 9221 first, then multipath. */
export const samples: Readonly<Record<string, (random: Random) => SampleFrame>> = {
  PING: () => plain(FrameType.ping, {}, [], Write.writePing),
  ACK: (random) => ack(random, false),
  RESET_STREAM: (random) => {
    const [streamId, code, finalSize] = [random.integer(), random.integer(), random.integer()]
    return plain(FrameType.resetStream, { streamId, code, finalSize }, [streamId, code, finalSize], (w) =>
      Write.writeResetStream(w, streamId, code, finalSize)
    )
  },
  STOP_SENDING: (random) => {
    const [streamId, code] = [random.integer(), random.integer()]
    return plain(FrameType.stopSending, { streamId, code }, [streamId, code], (w) =>
      Write.writeStopSending(w, streamId, code)
    )
  },
  CRYPTO: crypto,
  NEW_TOKEN: (random) => {
    const token = random.bytes(random.between(1, 100))
    return {
      type: FrameType.newToken,
      bytes: written((w) => Write.writeNewToken(w, token)),
      length: Write.newTokenLength(token.length),
      fields: {},
      token
    }
  },
  STREAM: stream,
  MAX_DATA: (random) => {
    const limit = random.integer()
    return plain(FrameType.maxData, { limit }, [limit], (w) => Write.writeMaxData(w, limit))
  },
  MAX_STREAM_DATA: (random) => {
    const [streamId, limit] = [random.integer(), random.integer()]
    return plain(FrameType.maxStreamData, { streamId, limit }, [streamId, limit], (w) =>
      Write.writeMaxStreamData(w, streamId, limit)
    )
  },
  MAX_STREAMS: (random) => {
    const [bidirectional, limit] = [random.boolean(), random.integer()]
    const type = bidirectional ? FrameType.maxStreamsBidi : FrameType.maxStreamsUni
    return plain(type, { bidirectional, limit }, [limit], (w) => Write.writeMaxStreams(w, bidirectional, limit))
  },
  DATA_BLOCKED: (random) => {
    const limit = random.integer()
    return plain(FrameType.dataBlocked, { limit }, [limit], (w) => Write.writeDataBlocked(w, limit))
  },
  STREAM_DATA_BLOCKED: (random) => {
    const [streamId, limit] = [random.integer(), random.integer()]
    return plain(FrameType.streamDataBlocked, { streamId, limit }, [streamId, limit], (w) =>
      Write.writeStreamDataBlocked(w, streamId, limit)
    )
  },
  STREAMS_BLOCKED: (random) => {
    const [bidirectional, limit] = [random.boolean(), random.integer()]
    const type = bidirectional ? FrameType.streamsBlockedBidi : FrameType.streamsBlockedUni
    return plain(type, { bidirectional, limit }, [limit], (w) => Write.writeStreamsBlocked(w, bidirectional, limit))
  },
  NEW_CONNECTION_ID: (random) => newConnectionId(random, false),
  RETIRE_CONNECTION_ID: (random) => {
    const sequence = random.integer()
    return plain(FrameType.retireConnectionId, { sequence }, [sequence], (w) =>
      Write.writeRetireConnectionId(w, sequence)
    )
  },
  PATH_CHALLENGE: (random) => pathData(random, false),
  PATH_RESPONSE: (random) => pathData(random, true),
  "CONNECTION_CLOSE (transport)": (random) => connectionClose(random, false),
  "CONNECTION_CLOSE (application)": (random) => connectionClose(random, true),
  HANDSHAKE_DONE: () => plain(FrameType.handshakeDone, {}, [], Write.writeHandshakeDone),
  DATAGRAM: datagram,
  PATH_ACK: (random) => ack(random, true),
  ADD_ADDRESS: (random) => withAddress(random, Write.writeAddAddress, FrameType.addIpv4Address),
  REMOVE_ADDRESS: (random) => {
    const sequence = random.integer()
    return plain(FrameType.removeAddress, { sequence }, [sequence], (w) => Write.writeRemoveAddress(w, sequence))
  },
  OBSERVED_ADDRESS: (random) => withAddress(random, Write.writeObservedAddress, FrameType.observedIpv4Address),
  PATH_ABANDON: (random) => {
    const [pathId, code] = [random.integer(MAX_PATH_ID), random.integer()]
    return plain(FrameType.pathAbandon, { pathId, code }, [pathId, code], (w) =>
      Write.writePathAbandon(w, pathId, code)
    )
  },
  PATH_STATUS: (random) => {
    const [pathId, sequence, backup] = [random.integer(MAX_PATH_ID), random.integer(), random.boolean()]
    const type = backup ? FrameType.pathStatusBackup : FrameType.pathStatusAvailable
    return plain(type, { pathId, sequence }, [pathId, sequence], (w) =>
      Write.writePathStatus(w, pathId, sequence, backup)
    )
  },
  PATH_NEW_CONNECTION_ID: (random) => newConnectionId(random, true),
  PATH_RETIRE_CONNECTION_ID: (random) => {
    const [pathId, sequence] = [random.integer(MAX_PATH_ID), random.integer()]
    return plain(FrameType.pathRetireConnectionId, { pathId, sequence }, [pathId, sequence], (w) =>
      Write.writePathRetireConnectionId(w, pathId, sequence)
    )
  },
  MAX_PATH_ID: (random) => {
    const limit = random.integer(MAX_PATH_ID)
    return plain(FrameType.maxPathId, { limit, pathId: 0 }, [limit], (w) => Write.writeMaxPathId(w, limit))
  },
  PATHS_BLOCKED: (random) => {
    const limit = random.integer(MAX_PATH_ID)
    return plain(FrameType.pathsBlocked, { limit, pathId: 0 }, [limit], (w) => Write.writePathsBlocked(w, limit))
  },
  PATH_CIDS_BLOCKED: (random) => {
    const [pathId, sequence] = [random.integer(MAX_PATH_ID), random.integer()]
    return plain(FrameType.pathCidsBlocked, { pathId, sequence }, [pathId, sequence], (w) =>
      Write.writePathCidsBlocked(w, pathId, sequence)
    )
  }
}
