/**
 * Connection IDs of ours that the peer has retired. Packets that it sent before may be on a slower path than the frame that
 * said so: the IDs lead here for a while longer (RFC 9000 section 5.1.2).
 */
import type { ConnectionIdSource, LocalConnectionId } from "./LocalConnectionIds.ts"

/** A peer that retires more at a time than this loses the oldest at once: it decides how many there are. */
const MAX_RETIRED = 32

export class RetiredConnectionIds {
  /** ms: when the next one goes; Infinity if there is none. */
  deadline = Infinity
  private readonly source: ConnectionIdSource
  private readonly entries: Array<{ readonly id: LocalConnectionId; readonly until: number }> = []

  constructor(source: ConnectionIdSource) {
    this.source = source
  }

  get size(): number {
    return this.entries.length
  }

  add(id: LocalConnectionId, until: number): void {
    if (this.entries.length >= MAX_RETIRED) this.source.retire(this.entries.shift()!.id)
    this.entries.push({ id, until })
    this.deadline = Math.min(this.deadline, until)
  }

  /** Takes those out of the routes whose time is over. */
  expire(now: number): void {
    if (now < this.deadline) return
    this.deadline = Infinity
    for (let i = this.entries.length - 1; i >= 0; i--) {
      const { id, until } = this.entries[i]!
      if (until <= now) {
        this.source.retire(id)
        this.entries.splice(i, 1)
      } else if (until < this.deadline) this.deadline = until
    }
  }

  clear(): void {
    this.expire(Infinity)
  }
}
