/**
 * Packets of one flush in the slab of a sink: each path builds into its own region, so that its packets lie side by side
 * and leave as few transmits as possible (one per run of equal sizes), however the scheduler interleaves paths.
 */
import { protect } from "../crypto/HeaderProtection.ts"
import { makePacketBurst } from "../crypto/PacketBurst.ts"
import type { HeaderKey, PacketKey } from "../crypto/Protection.ts"
import { MAX_SEGMENTS, MAX_TRANSMIT } from "../wire/Datagram.ts"
import type { Address, Transmit, TransmitSink } from "../wire/Datagram.ts"

const MAX_PACKETS = 256
const MAX_REGIONS = 8

interface Run {
  local: Address
  remote: Address
  ecn: number
  segmentSize: number
  start: number
  end: number
  count: number
  /** A shorter packet ended it. */
  closed: boolean
}

export class SendBatch {
  readonly burst = makePacketBurst(MAX_PACKETS, new Uint8Array(0))
  private readonly position = new Int32Array(MAX_REGIONS)
  private readonly limit = new Int32Array(MAX_REGIONS)
  /** Path that owns each region; -1: free. */
  private readonly owner = new Float64Array(MAX_REGIONS)
  private readonly openRun: Array<Run | undefined> = Array.from({ length: MAX_REGIONS })
  private readonly runs: Array<Run> = []
  private runCount = 0
  private regions = 1
  private readonly transmit: Transmit = {
    local: undefined as unknown as Address,
    remote: undefined as unknown as Address,
    ecn: 0,
    segmentSize: 0,
    bytes: new Uint8Array(0)
  }

  /** Starts over on the sink's slab, for packets of up to `paths` paths. */
  begin(slab: Uint8Array, paths: number): void {
    this.burst.slab = slab
    this.burst.count = 0
    this.runCount = 0
    this.regions = Math.min(MAX_REGIONS, Math.max(1, paths))
    const size = Math.min(MAX_TRANSMIT, Math.floor(slab.length / this.regions))
    for (let i = 0; i < this.regions; i++) {
      this.owner[i] = -1
      this.position[i] = i * size
      this.limit[i] = (i + 1) * size
      this.openRun[i] = undefined
    }
  }

  get isEmpty(): boolean {
    return this.burst.count === 0
  }

  /** The region of a path with room for a packet of `size`, or -1: send the batch first. */
  region(pathId: number, size: number): number {
    if (this.burst.count >= MAX_PACKETS) return -1
    for (let i = 0; i < this.regions; i++) {
      if (this.owner[i] === -1) this.owner[i] = pathId
      if (this.owner[i] === pathId) return this.position[i]! + size <= this.limit[i]! ? i : -1
    }
    return -1
  }

  /** Where the next packet of a region starts. */
  at(region: number): number {
    return this.position[region]!
  }

  /** Takes the packet that was built at the region's position; `end` includes the tag. */
  add(
    region: number,
    pathId: number,
    packetNumber: number,
    pnOffset: number,
    pnLength: number,
    end: number,
    local: Address,
    remote: Address,
    ecn: number
  ): void {
    const { burst } = this
    const start = this.position[region]!
    const index = burst.count++
    burst.start[index] = start
    burst.pnOffset[index] = pnOffset
    burst.pnLength[index] = pnLength
    burst.end[index] = end
    burst.pathId[index] = pathId
    burst.packetNumber[index] = packetNumber
    this.position[region] = end
    const size = end - start
    const open = this.openRun[region]
    if (
      open !== undefined &&
      !open.closed &&
      size <= open.segmentSize &&
      open.ecn === ecn &&
      open.remote === remote &&
      open.local === local &&
      open.count < MAX_SEGMENTS
    ) {
      open.end = end
      open.count++
      open.closed = size < open.segmentSize
      return
    }
    this.openRun[region] = this.newRun(local, remote, ecn, size, start, end)
  }

  /** Seals everything and hands it to the sink. `false`: the sink is full. */
  send(sink: TransmitSink, key: PacketKey, header: HeaderKey): boolean {
    const { burst, transmit } = this
    protect(burst, 0, burst.count, key, header)
    let ready = true
    for (let i = 0; i < this.runCount; i++) {
      const run = this.runs[i]!
      transmit.local = run.local
      transmit.remote = run.remote
      transmit.ecn = run.ecn
      transmit.segmentSize = run.segmentSize
      transmit.bytes = burst.slab.subarray(run.start, run.end)
      if (!sink.send(transmit)) ready = false
    }
    burst.count = 0
    return ready
  }

  private newRun(local: Address, remote: Address, ecn: number, size: number, start: number, end: number): Run {
    let run = this.runs[this.runCount]
    if (run === undefined) {
      run = { local, remote, ecn, segmentSize: size, start, end, count: 1, closed: false }
      this.runs.push(run)
    } else {
      run.local = local
      run.remote = remote
      run.ecn = ecn
      run.segmentSize = size
      run.start = start
      run.end = end
      run.count = 1
      run.closed = false
    }
    this.runCount++
    return run
  }
}
