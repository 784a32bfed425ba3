/** What a queue needs to know of a member. */
export interface Queueable {
  readonly incremental: boolean
  readonly allows: (pathId: number) => boolean
  readonly paths: ReadonlyArray<number> | undefined
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

/**
 * Streams that have something to send: a ring for each urgency, the most urgent first, taking turns within a ring.
 * Everything is O(1), except that streams bound to other paths are stepped over.
 */
export class SendQueue<T extends Queueable> {
  /** By urgency; grows when somebody comes. */
  private readonly heads: Array<QueueNode<T> | undefined> = []
  /** Bit `u` is set while the ring of urgency `u` has members. */
  private filled = 0

  get isEmpty(): boolean {
    return this.filled === 0
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

  /** The member whose turn it is among those that may use the path. */
  first(pathId: number): T | undefined {
    for (let rest = this.filled; rest !== 0; rest &= rest - 1) {
      const head = this.heads[31 - Math.clz32(rest & -rest)]!
      let node = head
      do {
        const member = node.member
        if (member.paths === undefined || member.allows(pathId)) return member
        node = node.next
      } while (node !== head)
    }
    return undefined
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
