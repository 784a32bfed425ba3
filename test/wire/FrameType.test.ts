import { assert, describe, it } from "@effect/vitest"
import {
  frameName,
  frameTraits,
  FrameType,
  isAckEliciting,
  isFrameAllowed,
  isMultipathFrame,
  isProbingFrame,
  isStreamFrame
} from "../../src/internal/wire/FrameType.ts"
import { Level } from "../../src/internal/wire/Protocol.ts"

/** RFC 9000 table 3 as printed: I, H, 0, 1; with section 12.5 for what cannot be in 0-RTT. */
const table: ReadonlyArray<readonly [type: number, name: string, packets: string, spec: string]> = [
  [0x00, "PADDING", "IH01", "NP"],
  [0x01, "PING", "IH01", ""],
  [0x02, "ACK", "IH1", "N"],
  [0x03, "ACK", "IH1", "N"],
  [0x04, "RESET_STREAM", "01", ""],
  [0x05, "STOP_SENDING", "01", ""],
  [0x06, "CRYPTO", "IH1", ""],
  [0x07, "NEW_TOKEN", "1", ""],
  [0x08, "STREAM", "01", ""],
  [0x0f, "STREAM", "01", ""],
  [0x10, "MAX_DATA", "01", ""],
  [0x11, "MAX_STREAM_DATA", "01", ""],
  [0x12, "MAX_STREAMS", "01", ""],
  [0x13, "MAX_STREAMS", "01", ""],
  [0x14, "DATA_BLOCKED", "01", ""],
  [0x15, "STREAM_DATA_BLOCKED", "01", ""],
  [0x16, "STREAMS_BLOCKED", "01", ""],
  [0x17, "STREAMS_BLOCKED", "01", ""],
  [0x18, "NEW_CONNECTION_ID", "01", "P"],
  [0x19, "RETIRE_CONNECTION_ID", "1", ""],
  [0x1a, "PATH_CHALLENGE", "01", "P"],
  [0x1b, "PATH_RESPONSE", "1", "P"],
  [0x1c, "CONNECTION_CLOSE", "IH01", "N"],
  [0x1d, "CONNECTION_CLOSE", "01", "N"],
  [0x1e, "HANDSHAKE_DONE", "1", ""],
  [0x30, "DATAGRAM", "01", ""],
  [0x31, "DATAGRAM", "01", ""],
  [0x3e, "PATH_ACK", "1", "NM"],
  [0x3f, "PATH_ACK", "1", "NM"],
  [0x3e75, "PATH_ABANDON", "1", "M"],
  [0x3e76, "PATH_STATUS_BACKUP", "1", "M"],
  [0x3e77, "PATH_STATUS_AVAILABLE", "1", "M"],
  [0x3e78, "PATH_NEW_CONNECTION_ID", "1", "MP"],
  [0x3e79, "PATH_RETIRE_CONNECTION_ID", "1", "M"],
  [0x3e7a, "MAX_PATH_ID", "1", "M"],
  [0x3e7b, "PATHS_BLOCKED", "1", "M"],
  [0x3e7c, "PATH_CIDS_BLOCKED", "1", "M"],
  [0x3d7f90, "ADD_ADDRESS", "1", ""],
  [0x3d7f91, "ADD_ADDRESS", "1", ""],
  [0x3d7f92, "REACH_OUT", "1", ""],
  [0x3d7f93, "REACH_OUT", "1", ""],
  [0x3d7f94, "REMOVE_ADDRESS", "1", ""],
  [0x9f81a6, "OBSERVED_ADDRESS", "1", "P"],
  [0x9f81a7, "OBSERVED_ADDRESS", "1", "P"]
]

describe("frame types", () => {
  it("RFC 9000 table 3, RFC 9221 section 4, FRM-1: each frame only in its packets", () => {
    for (const [type, name, packets] of table) {
      assert.strictEqual(frameName(type), name)
      assert.strictEqual(isFrameAllowed(type, Level.initial), packets.includes("I"), `${name} in Initial`)
      assert.strictEqual(isFrameAllowed(type, Level.handshake), packets.includes("H"), `${name} in Handshake`)
      assert.strictEqual(isFrameAllowed(type, Level.zeroRtt), packets.includes("0"), `${name} in 0-RTT`)
      assert.strictEqual(isFrameAllowed(type, Level.oneRtt), packets.includes("1"), `${name} in 1-RTT`)
    }
  })

  it("RFC 9000 table 3, FRM-4: which frames elicit acknowledgements, probe, need multipath", () => {
    for (const [type, name, , spec] of table) {
      assert.strictEqual(isAckEliciting(type), !spec.includes("N"), name)
      assert.strictEqual(isProbingFrame(type), spec.includes("P"), name)
      assert.strictEqual(isMultipathFrame(type), spec.includes("M"), name)
    }
  })

  it("every type of FrameType is in the table, and no other type has traits", () => {
    const listed = new Set(table.map(([type]) => type))
    for (const type of Object.values(FrameType)) assert.isTrue(listed.has(type))
    for (let type = 0; type < 0x1_0000; type++) {
      assert.strictEqual(frameTraits(type) !== 0, listed.has(type) || isStreamFrame(type), frameName(type))
    }
    assert.strictEqual(frameTraits(Number.MAX_SAFE_INTEGER), 0)
    assert.strictEqual(frameName(0x40), "0x40")
  })
})
