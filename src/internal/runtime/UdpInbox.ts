/**
 * Where a socket leaves its datagrams until the reader comes for them: two bursts that take turns, so that one fills
 * while the machine works on the other.
 */
import { Effect, Latch } from "effect"
import type { QuicError } from "../../QuicError.ts"
import { makeDatagramBurst } from "../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../wire/Datagram.ts"

export class UdpInbox {
  received = 0
  receivedBytes = 0
  /** Datagrams that found the inbox full: the reader was too slow. */
  dropped = 0
  /** Waits for datagrams and takes all of them. Fails once the inbox is closed and empty. */
  readonly pull: Effect.Effect<DatagramBurst, QuicError>

  private filling: DatagramBurst
  private spare: DatagramBurst
  private used = 0
  private failure: Effect.Effect<never, QuicError> | undefined = undefined
  /** Open while there is something to take, or the inbox is closed. */
  private readonly ready = Latch.makeUnsafe(false)
  private readonly capacity: number

  constructor(capacity = 256, slabBytes = 512 * 1024) {
    this.capacity = capacity
    this.filling = makeDatagramBurst(capacity, new Uint8Array(slabBytes))
    this.spare = makeDatagramBurst(capacity, new Uint8Array(slabBytes))
    // The reader resumes inside the first datagram's `push`. Yielding lets the rest of the event loop's poll phase
    // arrive before it looks: otherwise every burst would hold one datagram.
    const wait = Effect.flatMap(Effect.andThen(this.ready.await, Effect.yieldNow), () => this.pull)
    this.pull = Effect.suspend(() => {
      if (this.filling.count > 0) return Effect.succeed(this.take())
      return this.failure ?? wait
    })
  }

  /** Copies a datagram in and wakes the reader. `false`: there was no room, or the inbox is closed. */
  push(bytes: Uint8Array, length: number, local: Address, remote: Address, ecn: number): boolean {
    const burst = this.filling
    const index = burst.count
    if (index === this.capacity || this.used + length > burst.slab.length || this.failure !== undefined) {
      this.dropped++
      return false
    }
    burst.slab.set(bytes.length === length ? bytes : bytes.subarray(0, length), this.used)
    burst.offset[index] = this.used
    burst.length[index] = length
    burst.ecn[index] = ecn
    burst.local[index] = local
    burst.remote[index] = remote
    burst.count = index + 1
    this.used += length
    this.received++
    this.receivedBytes += length
    if (index === 0) this.ready.openUnsafe()
    return true
  }

  /** What is inside can still be taken; after that every `pull` fails with this error. */
  close(error: () => QuicError): void {
    if (this.failure !== undefined) return
    this.failure = Effect.suspend(() => Effect.fail(error()))
    this.ready.openUnsafe()
  }

  private take(): DatagramBurst {
    const burst = this.filling
    this.filling = this.spare
    this.filling.count = 0
    this.spare = burst
    this.used = 0
    if (this.failure === undefined) this.ready.closeUnsafe()
    return burst
  }
}
