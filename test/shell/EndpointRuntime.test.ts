import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Latch, Logger, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { EndpointMachine } from "../../src/internal/connection/Machine.ts"
import { make } from "../../src/internal/runtime/EndpointRuntime.ts"
import { SLAB_BYTES, SlabSink } from "../../src/internal/runtime/SlabSink.ts"
import { AddressBook, makeDatagramBurst } from "../../src/internal/wire/Datagram.ts"
import type { DatagramBurst, Transmit } from "../../src/internal/wire/Datagram.ts"
import { QuicError, SocketFailed } from "../../src/QuicError.ts"
import { addressInUse } from "../../src/internal/runtime/UdpErrors.ts"
import type { BoundSocket } from "../../src/UdpSocket.ts"

const book = new AddressBook()
const local = book.intern("10.0.0.1", 1)
const remote = book.intern("10.0.0.2", 2)

/** A machine that writes down what it is asked, and answers what the test says. */
class FakeMachine implements EndpointMachine {
  readonly calls: Array<string> = []
  deadline = Infinity
  ready = true
  onPoll: (now: number) => void = () => {}
  onReceive: () => void = () => {}

  discardAll = (): void => {
    this.calls.push("discardAll")
  }
  connect = (): never => {
    throw new Error("not here")
  }
  receive = (burst: DatagramBurst, now: number): void => {
    this.calls.push(`receive ${burst.count} ${now}`)
    this.onReceive()
  }
  poll: EndpointMachine["poll"] = (now, sink) => {
    this.calls.push(`poll ${now}`)
    this.onPoll(now)
    const bytes = sink.slab.subarray(0, 10)
    if (!this.ready && !sink.isFull(local)) sink.send({ local, remote, ecn: 0, segmentSize: 10, bytes })
  }
  nextTimeout = (): number => this.deadline
  onTimeout = (now: number): void => {
    this.calls.push(`timeout ${now}`)
    if (this.deadline <= now) this.deadline = Infinity
  }
  refuseAll = (): void => {
    this.calls.push("refuse")
  }
  closeAll = (code: number): void => {
    this.calls.push(`close ${code}`)
  }
  stats = () => ({
    connections: 0,
    routes: 0,
    datagramsReceived: 0,
    datagramsDropped: 0,
    drops: { malformed: 0, unknownConnection: 0, unknownVersion: 0, notServing: 0, notAuthentic: 0 },
    versionNegotiationsSent: 0,
    statelessResetsSent: 0,
    retriesSent: 0,
    tokensAccepted: 0,
    tokensRejected: 0,
    refused: 0
  })
}

/** A socket that can be full and can hold on to bytes. */
class FakeSocket implements BoundSocket {
  readonly local
  readonly addresses = book
  readonly sent: Array<Transmit> = []
  readonly inbox: Array<DatagramBurst> = []
  readonly arrived = Latch.makeUnsafe(false)
  readonly room = Latch.makeUnsafe(true)
  holding = false

  constructor(address = local) {
    this.local = address
  }
  private failed = false
  readonly pull = Effect.suspend(() => {
    this.arrived.closeUnsafe()
    return Effect.flatMap(this.arrived.await, () =>
      this.failed
        ? Effect.fail(
            new QuicError({
              reason: new SocketFailed({ operation: "receive", address: this.local.toString(), code: "EBADF" })
            })
          )
        : Effect.succeed(this.inbox.shift()!)
    )
  })
  readonly incoming = Stream.empty
  readonly send = (transmit: Transmit): boolean => {
    this.sent.push({ ...transmit })
    return this.room.isOpen()
  }
  get retained(): boolean {
    return this.holding
  }
  readonly writable = Effect.suspend(() => this.room.await)
  readonly transmit = () => Effect.void
  readonly stats = {
    datagramsReceived: 0,
    bytesReceived: 0,
    datagramsSent: 0,
    bytesSent: 0,
    datagramsDropped: 0,
    sendErrors: {}
  }

  fail(): void {
    this.failed = true
    this.arrived.openUnsafe()
  }

  deliver(count: number): void {
    const burst = makeDatagramBurst(count, new Uint8Array(0))
    burst.count = count
    this.inbox.push(burst)
    this.arrived.openUnsafe()
  }
}

const started = Effect.gen(function* () {
  const runtime = yield* make
  const machine = new FakeMachine()
  runtime.start(machine)
  return { runtime, machine }
})

const turn = TestClock.adjust(0)

/** The calls since the last time. */
const taken = (machine: FakeMachine): Array<string> => machine.calls.splice(0)

describe("EndpointRuntime", () => {
  it.effect("many wakes in one turn are one poll", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      for (let i = 0; i < 100; i++) runtime.wake()
      assert.deepStrictEqual(taken(machine), [])
      yield* turn
      assert.deepStrictEqual(taken(machine), ["poll 0"])
      yield* turn
      assert.deepStrictEqual(taken(machine), [])
    })
  )

  it.effect("what is changed while the machine is polled gets a poll of its own", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      let again = true
      machine.onPoll = () => {
        if (again) runtime.wake()
        again = false
      }
      runtime.wake()
      yield* turn
      assert.deepStrictEqual(taken(machine), ["poll 0", "poll 0"])
    })
  )

  it.effect("a burst is received, and answered by one poll that serves the woken fibers too", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      const socket = new FakeSocket()
      runtime.addSocket(socket)
      machine.onReceive = () => {
        runtime.wake()
        runtime.defer(() => machine.calls.push("deferred"))
      }
      yield* TestClock.adjust(5)
      socket.deliver(3)
      yield* turn
      assert.deepStrictEqual(taken(machine), ["receive 3 5", "deferred", "poll 5"])
    })
  )

  it.effect("the timer is lazy: a deadline that moves later costs nothing, one that moves earlier is kept", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      machine.deadline = 10
      runtime.wake()
      yield* turn
      machine.deadline = 15.5
      yield* TestClock.adjust(12)
      assert.deepStrictEqual(taken(machine), ["poll 0"])
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(taken(machine), ["timeout 15.5", "poll 15.5"])
      machine.deadline = 1000
      runtime.wake()
      yield* turn
      machine.deadline = 30
      runtime.wake()
      yield* turn
      taken(machine)
      yield* TestClock.adjust(20)
      assert.deepStrictEqual(taken(machine), ["timeout 30", "poll 30"])
    })
  )

  it.effect("a deadline between two nanoseconds is met, and one that is not met does not spin", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      machine.deadline = 1 / 3
      runtime.wake()
      yield* TestClock.adjust(1)
      assert.strictEqual(taken(machine)[1]?.startsWith("timeout 0.33333"), true)
      machine.onTimeout = (now) => {
        machine.calls.push(`late ${now}`)
      }
      machine.deadline = 2
      runtime.wake()
      yield* TestClock.adjust(4)
      assert.deepStrictEqual(
        taken(machine).filter((call) => call.startsWith("late")),
        ["late 2", "late 3", "late 4", "late 5"]
      )
    })
  )

  it.effect("after a stall what has come is taken in before what is due", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      const socket = new FakeSocket()
      runtime.addSocket(socket)
      machine.deadline = 50
      runtime.wake()
      yield* turn
      taken(machine)
      let waiting = true
      machine.nextTimeout = () => {
        if (waiting && runtime.now() === 50) {
          waiting = false
          machine.deadline = 10
          // Only now can it be read.
          socket.deliver(1)
        }
        return machine.deadline
      }
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(taken(machine), ["receive 1 50", "poll 50", "timeout 50", "poll 50"])
    })
  )

  it.effect("A4: the machine is told of a full socket, and polled when it has room; others do not wait for it", () =>
    Effect.gen(function* () {
      const { machine, runtime } = yield* started
      const [full, free] = [new FakeSocket(), new FakeSocket(other)]
      const looks: Array<string> = []
      machine.poll = (now, sink) => {
        for (const from of [local, other]) {
          looks.push(`${now} ${from.host} ${sink.isFull(from)} ${sink.room}`)
          if (sink.isFull(from)) continue
          sink.send({ local: from, remote, ecn: 0, segmentSize: 10, bytes: sink.slab.subarray(0, 10) })
        }
      }
      runtime.addSocket(full)
      runtime.addSocket(free)
      full.room.closeUnsafe()
      for (let i = 0; i < 3; i++) {
        runtime.wake()
        yield* turn
      }
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual([full.sent.length, free.sent.length], [1, 3])
      looks.length = 0
      full.room.openUnsafe()
      yield* turn
      assert.deepStrictEqual(looks, ["5000 10.0.0.1 false 1", "5000 10.0.0.9 false 1"])
      assert.deepStrictEqual([full.sent.length, free.sent.length], [2, 4])
      // The end of a full socket is room as well.
      full.room.closeUnsafe()
      runtime.wake()
      yield* turn
      looks.length = 0
      full.fail()
      yield* turn
      assert.deepStrictEqual(looks, ["5000 10.0.0.1 false 2", "5000 10.0.0.9 false 2"])
    })
  )

  it.effect("a mistake of the machine is logged, and the endpoint goes on", () => {
    const logged: Array<string> = []
    const logger = Logger.make((options) => {
      logged.push(String(options.message))
    })
    return Effect.gen(function* () {
      const { machine, runtime } = yield* started
      machine.onPoll = () => {
        throw new Error("broken")
      }
      runtime.wake()
      yield* turn
      machine.onPoll = () => {}
      taken(machine)
      runtime.wake()
      yield* turn
      assert.deepStrictEqual(taken(machine), ["poll 0"])
      assert.strictEqual(logged.length, 1)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("G1: a socket that fails is bound again, later each time, and it is said", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => logged.push(`${logLevel} ${String(message)}`))
    return Effect.gen(function* () {
      const { machine, runtime } = yield* started
      const attempts: Array<number> = []
      const bound: Array<FakeSocket> = []
      const first = new FakeSocket()
      let refused = 3
      runtime.addSocket(first, (address) =>
        Effect.suspend(() => {
          attempts.push(runtime.now())
          assert.strictEqual(address, local)
          if (refused-- > 0) return Effect.fail(addressInUse(address))
          const socket = new FakeSocket()
          bound.push(socket)
          return Effect.succeed(socket)
        })
      )
      yield* turn
      first.fail()
      yield* turn
      assert.deepStrictEqual(runtime.sockets, [])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(attempts, [10, 30, 70, 150])
      assert.deepStrictEqual(runtime.sockets, bound)
      taken(machine)
      bound[0]!.deliver(2)
      yield* turn
      assert.deepStrictEqual(taken(machine), ["receive 2 1000", "poll 1000"])
      // It has received something: the next time begins anew, and one that only fails waits ever longer.
      for (const after of [10, 20, 40]) {
        bound.at(-1)!.fail()
        const from = runtime.now()
        yield* TestClock.adjust(1000)
        assert.strictEqual(attempts.at(-1)! - from, after)
      }
      assert.lengthOf(attempts, 7)
      assert.deepStrictEqual(logged.slice(0, 2), [
        "Warn The socket of 10.0.0.1:1 is lost: receive failed on the UDP socket 10.0.0.1:1: EBADF",
        "Info The socket of 10.0.0.1:1 is bound again"
      ])
      assert.lengthOf(logged, 8)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("one that was given up before it had a machine ends quietly", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(make))
      assert.isTrue(Exit.isSuccess(exit))
    })
  )

  it.effect("its end closes everything with code 0, and waits a second at most for a full socket", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { machine, runtime } = yield* started.pipe(Effect.provideService(Scope.Scope, scope))
      const socket = new FakeSocket()
      runtime.addSocket(socket)
      socket.room.closeUnsafe()
      machine.ready = false
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.deepStrictEqual(taken(machine), ["close 0", "poll 0"])
      yield* TestClock.adjust(999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(closing.pollUnsafe())
      assert.isTrue(runtime.ended)
      runtime.wake()
      socket.deliver(1)
      yield* TestClock.adjust(1000)
      // Nobody would run the timers of what is still there.
      assert.deepStrictEqual(taken(machine), ["discardAll"])
    })
  )
})

const other = book.intern("10.0.0.9", 9)

const transmit = (sink: SlabSink, from = local): Transmit => ({
  local: from,
  remote,
  ecn: 0,
  segmentSize: 4,
  bytes: sink.slab.subarray(0, 4)
})

describe("SlabSink", () => {
  it("routes by local address, also when the object is another one", () => {
    const [a, b] = [new FakeSocket(), new FakeSocket(other)]
    const sink = new SlabSink()
    sink.add(a)
    sink.add(b)
    sink.send(transmit(sink))
    sink.send(transmit(sink, other))
    sink.send(transmit(sink, new AddressBook().intern("10.0.0.9", 9)))
    assert.deepStrictEqual([a.sent.length, b.sent.length], [1, 2])
    sink.remove(b)
    assert.isTrue(sink.send(transmit(sink, other)))
    assert.strictEqual(sink.unroutable, 1)
  })

  it("A4: a socket is full by itself, is told of once, and has room when that is said", () => {
    const [a, b] = [new FakeSocket(), new FakeSocket(other)]
    const sink = new SlabSink()
    sink.add(a)
    sink.add(b)
    a.room.closeUnsafe()
    assert.isFalse(sink.send(transmit(sink)))
    assert.isFalse(sink.send(transmit(sink)))
    assert.isTrue(sink.send(transmit(sink, other)))
    assert.deepStrictEqual([sink.isFull(local), sink.isFull(other), sink.isAnyFull], [true, false, true])
    assert.isTrue(sink.isFull(new AddressBook().intern(local.host, local.port)))
    assert.deepStrictEqual(sink.takeFilled(), [a])
    assert.deepStrictEqual(sink.takeFilled(), [])
    const { room } = sink
    sink.release(b)
    assert.strictEqual(sink.room, room)
    sink.release(a)
    assert.isAbove(sink.room, room)
    assert.isFalse(sink.isFull(local))
  })

  it("keeps its slab while sockets copy, and changes it when one holds on to the bytes", () => {
    const socket = new FakeSocket()
    const sink = new SlabSink()
    sink.add(socket)
    const first = sink.slab
    sink.send(transmit(sink))
    assert.isTrue(sink.slab === first)
    socket.holding = true
    sink.send(transmit(sink))
    assert.isTrue(sink.slab !== first)
    assert.strictEqual(sink.slab.length, SLAB_BYTES)
  })

  it("does not use a slab again before every socket that holds it has let go", () => {
    const [a, b] = [new FakeSocket(), new FakeSocket(other)]
    const sink = new SlabSink()
    sink.add(a)
    sink.add(b)
    a.holding = b.holding = true
    const first = sink.slab
    // One batch, built in one slab, for two sockets.
    const both = [transmit(sink), transmit(sink, other)]
    for (const each of both) sink.send(each)
    const second = sink.slab
    a.holding = false
    sink.send(transmit(sink, other))
    assert.isTrue(sink.slab !== first && sink.slab !== second)
    a.holding = true
    b.holding = false
    sink.send(transmit(sink))
    // `a` may still hold the first one; the second was for `b` alone.
    assert.isTrue(sink.slab === second)
  })
})
