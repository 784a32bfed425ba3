import { Wake } from "./Stream.ts"
import type { Stream, Waiter } from "./Stream.ts"

/** Somebody who waits on the table: for a stream to open or to accept. */
export interface WaitingPlace {
  waiter: Waiter | undefined
}

/**
 * Gathers whom to wake while packets are read, so that a waiter never runs in the middle of one, and runs once for a
 * whole burst.
 */
export class WakeList {
  private readonly list: Array<Stream | WaitingPlace> = []
  private head = 0
  private count = 0

  /** Marks those of the `Wake` bits that somebody waits for. */
  add(stream: Stream, bits: number): void {
    let wanted = 0
    if ((bits & Wake.read) !== 0 && stream.readWaiter !== undefined) wanted |= Wake.read
    if ((bits & Wake.write) !== 0 && stream.writeWaiter !== undefined) wanted |= Wake.write
    if ((bits & Wake.flush) !== 0 && stream.flushWaiter !== undefined) wanted |= Wake.flush
    if (wanted === 0) return
    if (stream.wakes === 0) this.list[this.count++] = stream
    stream.wakes |= wanted
  }

  addPlace(place: WaitingPlace): void {
    if (place.waiter !== undefined) this.list[this.count++] = place
  }

  /** Calls everybody, also those whom the calls themselves add. Safe to call from a waiter. */
  flush(): void {
    while (this.head < this.count) {
      const entry = this.list[this.head++]!
      if ("waiter" in entry) {
        const waiter = entry.waiter
        entry.waiter = undefined
        waiter?.()
        continue
      }
      const { wakes, readWaiter, writeWaiter, flushWaiter } = entry
      entry.wakes = 0
      if ((wakes & Wake.read) !== 0) entry.readWaiter = undefined
      if ((wakes & Wake.write) !== 0) entry.writeWaiter = undefined
      if ((wakes & Wake.flush) !== 0) entry.flushWaiter = undefined
      if ((wakes & Wake.read) !== 0) readWaiter?.()
      if ((wakes & Wake.write) !== 0) writeWaiter?.()
      if ((wakes & Wake.flush) !== 0) flushWaiter?.()
    }
    if (this.count > 0) this.list.length = this.head = this.count = 0
  }
}
