/**
 * Deadlines of many connections, lazily: an entry is only ever moved forward when it comes up. Most deadlines move back with
 * every packet, and that costs nothing here.
 */
export interface Timed {
  /** Time this item is in the heap for; Infinity: not in it. Owned by the heap. */
  armed: number
  readonly nextTimeout: () => number
}

export class DeadlineHeap<A extends Timed> {
  private readonly times: Array<number> = []
  private readonly items: Array<A> = []

  /** Earliest time at which an item may be due; Infinity if there is none. */
  get next(): number {
    return this.times.length === 0 ? Infinity : this.times[0]!
  }

  /** Sees to it that the item comes up by its deadline. Call it when the deadline may be earlier than before. */
  arm(item: A): void {
    const deadline = item.nextTimeout()
    if (deadline >= item.armed) return
    item.armed = deadline
    this.push(deadline, item)
  }

  /**
   * The next item whose deadline is really over, or undefined. Entries that were overtaken are dropped, and those whose
   * deadline has moved back go in again.
   */
  pop(now: number): A | undefined {
    while (this.times.length > 0 && this.times[0]! <= now) {
      const time = this.times[0]!
      const item = this.items[0]!
      this.removeFirst()
      if (time !== item.armed) continue
      item.armed = Infinity
      const deadline = item.nextTimeout()
      if (deadline <= now) return item
      if (deadline !== Infinity) {
        item.armed = deadline
        this.push(deadline, item)
      }
    }
    return undefined
  }

  private push(time: number, item: A): void {
    const { times, items } = this
    let at = times.length
    times.push(time)
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (times[parent]! <= time) break
      times[at] = times[parent]!
      items[at] = items[parent]!
      at = parent
    }
    times[at] = time
    items[at] = item
  }

  private removeFirst(): void {
    const { times, items } = this
    const time = times.pop()!
    const item = items.pop()!
    const count = times.length
    if (count === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= count) break
      if (child + 1 < count && times[child + 1]! < times[child]!) child++
      if (times[child]! >= time) break
      times[at] = times[child]!
      items[at] = items[child]!
      at = child
    }
    times[at] = time
    items[at] = item
  }
}
