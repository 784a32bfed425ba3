/**
 * Where the machine meets Effect: sockets, fibers, the clock and one timer around an `EndpointMachine`.
 *
 * All happens in bursts. A burst is one call into the machine (datagrams that arrived together, a deadline, or what the
 * application changed in one turn) followed by one `poll`. Nothing from Effect happens per packet.
 */
import { Cause, Clock, Effect, Exit, Fiber, Latch, Scope } from "effect"
import type { QuicError } from "../../QuicError.ts"
import type { BoundSocket } from "./Sockets.ts"
import type { EndpointMachine } from "../connection/Machine.ts"
import { AddressBook } from "../wire/Datagram.ts"
import type { Address, DatagramBurst } from "../wire/Datagram.ts"
import { SlabSink } from "./SlabSink.ts"
import type { Traffic } from "./SlabSink.ts"

/** ms that a closing endpoint waits for a full socket to take its last packets. */
const LAST_PACKETS = 1000

/** ms between two looks at a machine that keeps saying that it is late: it must not keep the processor busy. */
const LATE_RETRY = 1
/** ms that a timer may be late before the program is taken to have been busy with something else. */
const STALL = 2

/** ms before a socket that failed is bound again: twice as many each time, until it receives something. */
const FIRST_REBIND = 10
const MAX_REBIND = 10_000

/** Binds an address whose socket failed. */
export type Rebind = (local: Address) => Effect.Effect<BoundSocket, QuicError>

/** One nanosecond in ms: what clocks can tell apart. A deadline due before the next one is due now. */
const NANOSECOND = 1e-6

export class EndpointRuntime {
  readonly book = new AddressBook()
  private machineOrNone: EndpointMachine | undefined = undefined
  private readonly clock: Clock.Clock
  private readonly scope: Scope.Closeable
  private readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  private readonly sink = new SlabSink()
  /** Fibers that receive, or wait to bind again, by local address. */
  private readonly receivers = new Map<string, Fiber.Fiber<void>>()
  private readonly dirty = Latch.makeUnsafe(false)
  /** What listeners of the machine left to be done when its call has returned. */
  private tasks: Array<() => void> = []
  /** A flush comes anyway: a wake need not ask for one. */
  private flushDue = false
  private stopped = false
  /** When the timer fiber wakes; -Infinity while it runs, because then it arms itself. */
  private armed = Infinity
  private timer: Fiber.Fiber<void> | undefined = undefined

  constructor(
    clock: Clock.Clock,
    scope: Scope.Closeable,
    runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  ) {
    this.clock = clock
    this.scope = scope
    this.runFork = runFork
  }

  get machine(): EndpointMachine {
    return this.machineOrNone!
  }

  /** The endpoint has ended: nothing is received or sent any more. */
  get ended(): boolean {
    return this.stopped
  }

  /** Bound so far, in that order. */
  get sockets(): ReadonlyArray<BoundSocket> {
    return this.sink.sockets
  }

  /** What went through its sockets, those that are gone included. */
  get traffic(): Traffic & { readonly unroutable: number } {
    return { ...this.sink.traffic, unroutable: this.sink.unroutable }
  }

  /** Monotonic, in ms with fractions. */
  now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /** Wall clock in ms since 1970. */
  readonly wallTime = (): number => this.clock.currentTimeMillisUnsafe()

  /** Gives the runtime its machine and starts it: once, before anything else. */
  start(machine: EndpointMachine): void {
    this.machineOrNone = machine
    this.fork(this.driver)
  }

  /** Forks into the scope of the runtime. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    return Fiber.runIn(this.runFork(effect), this.scope)
  }

  /**
   * Takes over a bound socket: receives from it and sends through it until the endpoint ends. When the socket fails, `again`
   * binds one for the same address, until it can be had.
   */
  addSocket(socket: BoundSocket, again?: Rebind): void {
    this.take(socket, again, FIRST_REBIND)
  }

  /** Uses what is bound to this address no longer. It is the caller's to close. */
  dropSocket(local: Address): Effect.Effect<void> {
    return Effect.suspend(() => {
      const key = local.toString()
      const receiver = this.receivers.get(key)
      this.receivers.delete(key)
      return receiver === undefined ? Effect.void : Fiber.interrupt(receiver)
    })
  }

  private take(socket: BoundSocket, again: Rebind | undefined, delay: number): void {
    this.sink.add(socket)
    this.receivers.set(socket.local.toString(), this.fork(this.receiveFrom(socket, again, delay)))
  }

  /** The socket bound to this address. */
  socketAt(local: Address): BoundSocket | undefined {
    return this.sink.find(local)
  }

  /** Something changed: flush at the end of this turn. Cheap, and called often. */
  readonly wake = (): void => {
    if (this.flushDue || this.stopped) return
    this.flushDue = true
    this.dirty.openUnsafe()
  }

  /** Runs a task when the machine is consistent: listeners of the machine must do everything this way. */
  readonly defer = (task: () => void): void => {
    this.tasks.push(task)
    this.wake()
  }

  /** Closes every connection, gets their last packets out, and stops for good. The sockets stay open. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    // Without a machine the endpoint was given up while it was built.
    if (this.machineOrNone !== undefined) {
      this.machineOrNone.closeAll(0, "", this.now())
      this.flush()
    }
    const last = this.sink.isAnyFull ? Effect.timeoutOption(this.lastRoom, LAST_PACKETS) : Effect.void
    return Effect.flatMap(last, () => {
      this.discard()
      this.stopped = true
      return Scope.close(this.scope, Exit.void)
    })
  })

  /** No timer will run any more that would forget the connections which have closed. */
  private discard(): void {
    if (this.machineOrNone === undefined) return
    try {
      this.machineOrNone.discardAll()
      this.runTasks()
    } catch (cause) {
      this.report(cause)
    }
  }

  private readonly lastRoom: Effect.Effect<void> = Effect.suspend(() =>
    this.sink.isAnyFull ? Effect.flatMap(Effect.sleep(1), () => this.lastRoom) : Effect.void
  )

  private readonly driver: Effect.Effect<void> = Effect.suspend(() =>
    Effect.flatMap(this.dirty.await, () =>
      // The rest of the turn may change more: one flush serves all of it.
      Effect.flatMap(Effect.yieldNow, () => {
        this.dirty.closeUnsafe()
        this.flush()
        return this.driver
      })
    )
  )

  private receiveFrom(socket: BoundSocket, again: Rebind | undefined, delay: number): Effect.Effect<void> {
    let nextDelay = delay
    const loop: Effect.Effect<void, QuicError> = Effect.flatMap(socket.pull, (burst) => {
      nextDelay = FIRST_REBIND
      this.receive(burst)
      // What else this turn brings is the next burst, and fibers that were woken write their answers before the flush.
      return Effect.flatMap(Effect.yieldNow, () => {
        this.flush()
        return loop
      })
    })
    return Effect.onExit(loop, () =>
      Effect.sync(() => {
        this.sink.remove(socket)
        this.flushDue = false
        this.wake()
      })
    ).pipe(
      Effect.catch((error) =>
        this.stopped
          ? Effect.void
          : Effect.andThen(
              Effect.logWarning(`The socket of ${socket.local} is lost: ${error.message}`),
              again === undefined ? Effect.void : this.rebind(socket.local, again, nextDelay)
            )
      )
    )
  }

  private rebind(local: Address, again: Rebind, delay: number): Effect.Effect<void> {
    const longer = Math.min(delay * 2, MAX_REBIND)
    return Effect.andThen(Effect.sleep(delay), Effect.uninterruptible(again(local))).pipe(
      Effect.flatMap((socket) => {
        this.take(socket, again, longer)
        this.wake()
        return Effect.logInfo(`The socket of ${local} is bound again`)
      }),
      Effect.catch((error) =>
        Effect.andThen(
          Effect.logDebug(`The socket of ${local} cannot be bound again yet: ${error.message}`),
          this.rebind(local, again, longer)
        )
      )
    )
  }

  private receive(burst: DatagramBurst): void {
    if (this.stopped) return
    this.flushDue = true
    try {
      this.machine.receive(burst, this.now())
      this.runTasks()
    } catch (cause) {
      this.report(cause)
    }
  }

  /** Sends what may be sent, then sets the timer. */
  private flush(now = this.now()): void {
    if (this.stopped) return
    try {
      this.flushDue = true
      this.runTasks()
      // What fibers change that the poll itself resumes is for the next flush.
      this.flushDue = false
      this.machine.poll(now, this.sink)
      this.waitForRoom()
      this.runTasks()
    } catch (cause) {
      this.flushDue = false
      this.report(cause)
    }
    this.rearm()
  }

  private runTasks(): void {
    while (this.tasks.length > 0) {
      const tasks = this.tasks
      this.tasks = []
      for (const task of tasks) task()
    }
  }

  private waitForRoom(): void {
    for (const socket of this.sink.takeFilled()) {
      this.fork(
        Effect.map(socket.writable, () => {
          this.sink.release(socket)
          this.flush()
        })
      )
    }
  }

  /** The machine closes a connection that goes wrong; what gets here is a mistake of the machine itself. */
  private report(cause: unknown): void {
    this.fork(Effect.logError("The QUIC endpoint failed to handle an event", Cause.die(cause)))
  }

  /** The timer is lazy: when a deadline moves later, its fiber finds out by itself. */
  private rearm(): void {
    const next = this.machine.nextTimeout()
    if (next >= this.armed) return
    this.timer?.interruptUnsafe()
    this.armed = next
    this.timer = this.fork(this.sleepUntil(next))
  }

  private sleepUntil(deadline: number): Effect.Effect<void> {
    // Whole nanoseconds, rounded up: a sleep that is too short ends in another one.
    const left = Math.ceil((deadline - this.now()) * 1e6) / 1e6
    return Effect.flatMap(Effect.sleep(Math.max(left, 0)), () => this.onTimer)
  }

  /**
   * After a program has computed for a while, timers run before sockets are read. What came meanwhile is taken in first, lest a
   * path be found silent that was not heard.
   */
  private readonly onTimer: Effect.Effect<void> = Effect.suspend(() =>
    !this.stopped && this.now() - this.machine.nextTimeout() > STALL
      ? Effect.andThen(Effect.andThen(Effect.yieldNow, Effect.yieldNow), this.timeOut)
      : this.timeOut
  )

  private readonly timeOut: Effect.Effect<void> = Effect.suspend(() => {
    if (this.stopped) return Effect.void
    this.armed = -Infinity
    const now = this.now()
    const due = this.machine.nextTimeout()
    // The live clock wakes up to 1 ms early, and deadlines may have moved.
    if (due <= now + NANOSECOND) {
      const time = Math.max(due, now)
      this.flushDue = true
      try {
        this.machine.onTimeout(time)
      } catch (cause) {
        this.report(cause)
      }
      this.flush(time)
    }
    const next = this.machine.nextTimeout()
    this.armed = next
    if (next === Infinity) {
      this.timer = undefined
      return Effect.void
    }
    return this.sleepUntil(next > now + NANOSECOND ? next : now + LATE_RETRY)
  })
}

/** A runtime that stops with the scope. Sockets must outlive it: bind them in a scope that closes later. */
export const make: Effect.Effect<EndpointRuntime, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const scope = yield* Scope.make()
  const runtime = new EndpointRuntime(clock, scope, runFork)
  yield* Effect.addFinalizer(() => runtime.stop)
  return runtime
})
