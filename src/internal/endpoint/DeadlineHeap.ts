/**
 * Deadlines of many connections, lazily: an entry moves when its deadline comes nearer, and otherwise only when it comes up.
 * Most deadlines move back with every packet, and that costs nothing here. A binary heap with one entry per item.
 */
export interface Timed {
  /** Time this item is in the heap for; Infinity: not in it. Owned by the heap. */
  armed: number
  /** Place in the heap. Owned by the heap. */
  heapIndex: number
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
      item.heapIndex = this.items.length
      this.items.push(item)
    }
    item.armed = deadline
    this.rise(item.heapIndex)
  }

  /** The next item whose deadline is really over, or undefined. Those whose deadline has moved back go in again. */
  pop(now: number): A | undefined {
    while (this.items.length > 0 && this.items[0]!.armed <= now) {
      const item = this.items[0]!
      const deadline = item.nextTimeout()
      if (deadline <= now || deadline === Infinity) {
        this.remove(item)
        if (deadline <= now) return item
      } else {
        item.armed = deadline
        this.sink(0)
      }
    }
    return undefined
  }

  /** Takes an item out: it is gone, and nothing may hold it. */
  remove(item: A): void {
    if (item.armed === Infinity) return
    const { items } = this
    const at = item.heapIndex
    item.armed = Infinity
    const last = items.pop()!
    if (last === item) return
    items[at] = last
    last.heapIndex = at
    this.rise(at)
    this.sink(last.heapIndex)
  }

  private rise(from: number): void {
    const { items } = this
    const item = items[from]!
    let at = from
    while (at > 0) {
      const parent = items[(at - 1) >> 1]!
      if (parent.armed <= item.armed) break
      items[at] = parent
      parent.heapIndex = at
      at = (at - 1) >> 1
    }
    items[at] = item
    item.heapIndex = at
  }

  private sink(from: number): void {
    const { items } = this
    const item = items[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && items[child + 1]!.armed < items[child]!.armed) child++
      const next = items[child]!
      if (next.armed >= item.armed) break
      items[at] = next
      next.heapIndex = at
      at = child
    }
    items[at] = item
    item.heapIndex = at
  }
}
