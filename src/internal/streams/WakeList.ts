import { Wake } from "./Stream.ts"
import type { Stream, Waiter } from "./Stream.ts"

/** Somebody who waits on the table: for a stream to open or to accept. */
export interface WaitingPlace {
  waiter: Waiter | undefined
  /** Set here: it is on the list. */
  waking: boolean
}

/**
 * Gathers whom to wake while packets are read, so that a waiter never runs in the middle of one, and runs once for a
 * whole burst.
 */
export class WakeList {
  private readonly list: Array<Stream | WaitingPlace> = []
  private head = 0
  private count = 0
  private flushing = false

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
    if (place.waiter === undefined || place.waking) return
    place.waking = true
    this.list[this.count++] = place
  }

  /**
   * Calls everybody, also those whom the calls themselves add. A waiter may use streams as it likes and flush: whom it wakes
   * is called when it has returned, so that the stack does not grow with the number of waiters.
   */
  flush(): void {
    if (this.flushing) return
    this.flushing = true
    try {
      while (this.head < this.count) {
        const entry = this.list[this.head++]!
        if ("waiter" in entry) this.callPlace(entry)
        else this.callStream(entry)
      }
      if (this.count > 0) this.list.length = this.head = this.count = 0
    } finally {
      this.flushing = false
    }
  }

  private callPlace(place: WaitingPlace): void {
    const { waiter } = place
    place.waking = false
    place.waiter = undefined
    waiter?.()
  }

  private callStream(stream: Stream): void {
    const { wakes, readWaiter, writeWaiter, flushWaiter } = stream
    stream.wakes = 0
    if ((wakes & Wake.read) !== 0) stream.readWaiter = undefined
    if ((wakes & Wake.write) !== 0) stream.writeWaiter = undefined
    if ((wakes & Wake.flush) !== 0) stream.flushWaiter = undefined
    if ((wakes & Wake.read) !== 0) readWaiter?.()
    if ((wakes & Wake.write) !== 0) writeWaiter?.()
    if ((wakes & Wake.flush) !== 0) flushWaiter?.()
  }
}
