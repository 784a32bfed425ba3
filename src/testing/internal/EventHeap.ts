/**
 * Timers of the simulator: a binary heap ordered by time, then by the order in which they were set. Each timer knows its
 * place, so that setting it again moves it instead of leaving a dead entry behind.
 */
export class SimTimer {
  /** When it fires; `Infinity` when it is not set. */
  time = Infinity
  sequence = 0
  index = -1
  readonly run: (now: number) => void
  private readonly heap: EventHeap

  constructor(heap: EventHeap, run: (now: number) => void) {
    this.heap = heap
    this.run = run
  }

  /** Fires once at `time` (simulated ms), or never for `Infinity`. Replaces what was set. */
  set(time: number): void {
    if (time !== this.time) this.heap.set(this, time)
  }

  clear(): void {
    this.set(Infinity)
  }
}

export class EventHeap {
  private readonly timers: Array<SimTimer> = []
  private sequence = 0

  get size(): number {
    return this.timers.length
  }

  /** Time of the first timer, `Infinity` when none is set. */
  next(): number {
    return this.timers.length === 0 ? Infinity : this.timers[0]!.time
  }

  /** Takes the first timer out. */
  pop(): SimTimer {
    const first = this.timers[0]!
    this.remove(first)
    return first
  }

  set(timer: SimTimer, time: number): void {
    if (Number.isNaN(time)) throw new RangeError("A simulated time is not a number")
    if (time === Infinity) return this.remove(timer)
    timer.time = time
    timer.sequence = this.sequence++
    if (timer.index === -1) {
      timer.index = this.timers.length
      this.timers.push(timer)
    }
    this.settle(timer)
  }

  private remove(timer: SimTimer): void {
    timer.time = Infinity
    if (timer.index === -1) return
    const last = this.timers.pop()!
    if (last !== timer) {
      this.timers[timer.index] = last
      last.index = timer.index
      this.settle(last)
    }
    timer.index = -1
  }

  private settle(timer: SimTimer): void {
    const { timers } = this
    let index = timer.index
    while (index > 0) {
      const above = timers[(index - 1) >> 1]!
      if (before(above, timer)) break
      timers[index] = above
      above.index = index
      index = (index - 1) >> 1
    }
    for (;;) {
      let child = index * 2 + 1
      if (child >= timers.length) break
      if (child + 1 < timers.length && before(timers[child + 1]!, timers[child]!)) child++
      const below = timers[child]!
      if (before(timer, below)) break
      timers[index] = below
      below.index = index
      index = child
    }
    timers[index] = timer
    timer.index = index
  }
}

const before = (a: SimTimer, b: SimTimer): boolean => a.time < b.time || (a.time === b.time && a.sequence < b.sequence)
