/** What a queue needs to know of a member. */
export interface Queueable {
  readonly incremental: boolean
}

/** A member's link in one queue. */
export class QueueNode<T> {
  readonly member: T
  previous: QueueNode<T> = this
  next: QueueNode<T> = this
  /** Urgency at which it stands in the queue, -1 outside. */
  level = -1

  constructor(member: T) {
    this.member = member
  }
}

/** What `SendQueue.level` gives for an empty queue: later than any urgency. */
export const NO_LEVEL = 32

/**
 * Streams that have something to send: a ring for each urgency, the most urgent first, taking turns within a ring.
 * Everything is O(1).
 */
export class SendQueue<T extends Queueable> {
  /** By urgency; grows when somebody comes. */
  private readonly heads: Array<QueueNode<T> | undefined> = []
  /** Bit `u` is set while the ring of urgency `u` has members. */
  private filled = 0

  get isEmpty(): boolean {
    return this.filled === 0
  }

  /** The most urgent urgency that has members. */
  get level(): number {
    return this.filled === 0 ? NO_LEVEL : 31 - Math.clz32(this.filled & -this.filled)
  }

  /** The member whose turn it is. */
  get first(): T | undefined {
    return this.filled === 0 ? undefined : this.heads[this.level]!.member
  }

  /** Puts `node` last at `urgency`; one that stands at another urgency moves. */
  add(node: QueueNode<T>, urgency: number): void {
    if (node.level === urgency) return
    if (node.level >= 0) this.remove(node)
    node.level = urgency
    const head = this.heads[urgency]
    if (head === undefined) {
      this.heads[urgency] = node.previous = node.next = node
      this.filled |= 1 << urgency
      return
    }
    const last = head.previous
    node.previous = last
    node.next = head
    last.next = head.previous = node
  }

  remove(node: QueueNode<T>): void {
    const level = node.level
    if (level < 0) return
    node.level = -1
    if (node.next === node) {
      this.heads[level] = undefined
      this.filled &= ~(1 << level)
      return
    }
    node.previous.next = node.next
    node.next.previous = node.previous
    if (this.heads[level] === node) this.heads[level] = node.next
    node.previous = node.next = node
  }

  /** Nobody else stands at the urgency of this member, or it is to be sent to its end. */
  isAlone(node: QueueNode<T>): boolean {
    return node.next === node || !node.member.incremental
  }

  /** The member had its turn: others of its urgency come first now, unless it is to be sent to its end. */
  rotate(node: QueueNode<T>): void {
    const level = node.level
    if (level < 0 || node.next === node || !node.member.incremental) return
    if (this.heads[level] === node) this.heads[level] = node.next
    else {
      this.remove(node)
      this.add(node, level)
    }
  }
}
