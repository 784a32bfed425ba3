/** Most sets stay empty for good: they share this. */
const NO_BOUNDS = new Float64Array(0)
const FIRST_CAPACITY = 8

/**
 * A sorted set of disjoint half-open ranges of offsets, for what is acknowledged and what is lost.
 *
 * Two paths make most of its work: the faster one adds ranges at the end, the slower one closes the gaps at the front.
 * Both are O(1): ranges live in a window of one typed array with room at either end, and a search starts where the last
 * one stopped. Anything else is a binary search and a move of the shorter side.
 */
export class RangeSet {
  /** Pairs of start and end; range `i` is at `2 * (first + i)`. */
  private bounds: Float64Array = NO_BOUNDS
  private first = 0
  private hint = 0
  /** Ranges held. */
  count = 0
  /** Sum of the lengths of all ranges. */
  total = 0
  /** Ranges looked at or moved so far: what tests assert on instead of time. */
  steps = 0

  startAt(index: number): number {
    return this.bounds[2 * (this.first + index)]!
  }

  endAt(index: number): number {
    return this.bounds[2 * (this.first + index) + 1]!
  }

  /** Adds `[start, end)`; whatever overlaps or touches becomes one range. */
  add(start: number, end: number): void {
    if (end <= start) return
    const index = this.lower(start)
    if (index === this.count || this.startAt(index) > end) {
      this.insert(index, start, end)
      this.total += end - start
      this.hint = index
      return
    }
    let low = this.startAt(index)
    let high = this.endAt(index)
    this.total -= high - low
    let last = index
    while (last + 1 < this.count && this.startAt(last + 1) <= end) {
      last++
      this.steps++
      high = this.endAt(last)
      this.total -= high - this.startAt(last)
    }
    if (start < low) low = start
    if (end > high) high = end
    this.total += high - low
    this.put(index, low, high)
    if (last > index) this.erase(index + 1, last - index)
    this.hint = index
  }

  /** Takes `[start, end)` out; a range that spans it is split in two. */
  remove(start: number, end: number): void {
    if (end <= start) return
    let index = this.lower(start)
    if (index < this.count && this.endAt(index) === start) index++
    if (index < this.count && this.startAt(index) < start) {
      const high = this.endAt(index)
      this.put(index, this.startAt(index), start)
      this.total -= Math.min(high, end) - start
      index++
      if (high > end) {
        this.insert(index, end, high)
        return
      }
    }
    const first = index
    while (index < this.count && this.startAt(index) < end) {
      this.steps++
      const high = this.endAt(index)
      if (high > end) {
        this.total -= end - this.startAt(index)
        this.put(index, end, high)
        break
      }
      this.total -= high - this.startAt(index)
      index++
    }
    if (index > first) this.erase(first, index - first)
  }

  /** Drops the first range. */
  removeFirst(): void {
    this.total -= this.endAt(0) - this.startAt(0)
    this.erase(0, 1)
  }

  /** Takes `length` offsets from the beginning of the first range, which must have as many. */
  shorten(length: number): void {
    const start = this.startAt(0) + length
    if (start >= this.endAt(0)) this.removeFirst()
    else {
      this.total -= length
      this.put(0, start, this.endAt(0))
    }
  }

  /** Index of the first range that ends at `offset` or later; `count` if there is none. */
  lower(offset: number): number {
    const count = this.count
    let low = 0
    let high = count
    const hint = this.hint
    this.steps++
    if (hint < count) {
      if (this.endAt(hint) < offset) {
        if (hint + 1 === count || this.endAt(hint + 1) >= offset) return hint + 1
        low = hint + 2
      } else {
        if (hint === 0 || this.endAt(hint - 1) < offset) return hint
        high = hint - 1
      }
    }
    if (low < high) {
      if (this.endAt(low) >= offset) return low
      if (this.endAt(high - 1) < offset) return high
    }
    while (low < high) {
      this.steps++
      const middle = (low + high) >>> 1
      if (this.endAt(middle) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  clear(): void {
    this.count = this.total = this.hint = 0
    this.first = this.bounds.length >>> 2
  }

  private put(index: number, start: number, end: number): void {
    const at = 2 * (this.first + index)
    this.bounds[at] = start
    this.bounds[at + 1] = end
  }

  private insert(index: number, start: number, end: number): void {
    const after = this.count - index
    if (after > index && this.first === 0) this.recentre()
    else if (after <= index && 2 * (this.first + this.count) === this.bounds.length) this.recentre()
    const at = 2 * (this.first + index)
    if (after > index) {
      this.bounds.copyWithin(2 * this.first - 2, 2 * this.first, at)
      this.first--
      this.steps += index
    } else if (after > 0) {
      this.bounds.copyWithin(at + 2, at, at + 2 * after)
      this.steps += after
    }
    this.count++
    this.put(index, start, end)
  }

  private erase(index: number, length: number): void {
    const after = this.count - index - length
    if (index < after) {
      this.bounds.copyWithin(2 * (this.first + length), 2 * this.first, 2 * (this.first + index))
      this.first += length
      this.steps += index
    } else if (after > 0) {
      const at = 2 * (this.first + index)
      this.bounds.copyWithin(at, at + 2 * length, at + 2 * (length + after))
      this.steps += after
    }
    this.count -= length
    if (this.hint >= index) this.hint = Math.max(0, this.hint - length)
    if (this.count === 0) this.clear()
  }

  /** Puts the ranges in the middle again, in an array with as much free room as they take. */
  private recentre(): void {
    const used = this.bounds.subarray(2 * this.first, 2 * (this.first + this.count))
    const capacity = this.bounds.length >>> 1
    const target =
      capacity === 0
        ? new Float64Array(2 * FIRST_CAPACITY)
        : this.count > capacity >>> 1
          ? new Float64Array(4 * capacity)
          : this.bounds
    const first = ((target.length >>> 1) - this.count) >>> 1
    target.set(used, 2 * first)
    this.steps += this.count
    this.bounds = target
    this.first = first
  }
}
