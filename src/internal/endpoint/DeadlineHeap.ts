/**
 * Deadlines of many connections, lazily: an entry is only moved back when it comes up. Most deadlines move back with every
 * packet, and that costs nothing here. Each item has one entry, so that one that is gone leaves none.
 */
export interface Timed {
  /** Time this item is in the heap for; Infinity: not in it. Owned by the heap. */
  armed: number
  /** Where in the heap it is. Owned by the heap. */
  place: number
  readonly nextTimeout: () => number
}

export class DeadlineHeap<A extends Timed> {
  private readonly items: Array<A> = []

  /** Earliest time at which an item may be due; Infinity if there is none. */
  get next(): number {
    return this.items.length === 0 ? Infinity : this.items[0]!.armed
  }

  get size(): number {
    return this.items.length
  }

  /** Sees to it that the item comes up by its deadline. Call it when the deadline may be earlier than before. */
  arm(item: A): void {
    const deadline = item.nextTimeout()
    if (deadline >= item.armed) return
    if (item.armed === Infinity) {
      item.place = this.items.length
      this.items.push(item)
    }
    item.armed = deadline
    this.rise(item)
  }

  /** The next item whose deadline is really over, or undefined. Those whose deadline has moved back go in again. */
  pop(now: number): A | undefined {
    while (this.items.length > 0 && this.items[0]!.armed <= now) {
      const item = this.items[0]!
      const deadline = item.nextTimeout()
      if (deadline > now && deadline !== Infinity) {
        item.armed = deadline
        this.sink(item)
        continue
      }
      this.remove(item)
      if (deadline <= now) return item
    }
    return undefined
  }

  remove(item: A): void {
    if (item.armed === Infinity) return
    item.armed = Infinity
    const last = this.items.pop()!
    if (last === item) return
    last.place = item.place
    this.items[last.place] = last
    this.rise(last)
    this.sink(last)
  }

  private rise(item: A): void {
    const { items } = this
    let at = item.place
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = items[parent]!
      if (above.armed <= item.armed) break
      items[at] = above
      above.place = at
      at = parent
    }
    items[at] = item
    item.place = at
  }

  private sink(item: A): void {
    const { items } = this
    const count = items.length
    let at = item.place
    for (;;) {
      let child = 2 * at + 1
      if (child >= count) break
      if (child + 1 < count && items[child + 1]!.armed < items[child]!.armed) child++
      const below = items[child]!
      if (below.armed >= item.armed) break
      items[at] = below
      below.place = at
      at = child
    }
    items[at] = item
    item.place = at
  }
}
