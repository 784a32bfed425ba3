/** Many streams over one connection: limits, turns, priorities, resets and stops (RFC 9000 sections 2 to 4). */
import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { byteAt, Drain, pattern, pump } from "../support/Machines.ts"
import type { Pair } from "../support/Machines.ts"
import { established, say, seeds } from "../support/Scenario.ts"

const lossy: ReadonlyArray<DuplexOptions> = [{ mbps: 40, delay: 10, queue: 100, loss: 0.02, reorder: 0.02 }]

/** Hands every stream that the peer opens to `take`. */
const acceptAll = (connection: Connection, bidirectional: boolean, take: (stream: Stream) => void): void => {
  const step = (): void => {
    const { streams } = connection
    for (let next = streams.accept(bidirectional); next !== undefined; next = streams.accept(bidirectional)) take(next)
    streams.setAcceptWaiter(bidirectional, step)
    connection.wake()
  }
  step()
}

/** Opens streams as the peer allows them, until `count` are open; `use` gets each. */
const openAll = (
  connection: Connection,
  bidirectional: boolean,
  count: number,
  use: (stream: Stream, index: number) => void
): void => {
  let opened = 0
  const step = (): void => {
    while (opened < count) {
      const stream = connection.streams.open(bidirectional)
      if (stream === undefined) {
        connection.streams.setOpenWaiter(bidirectional, step)
        break
      }
      use(stream, opened++)
    }
    connection.wake()
  }
  step()
}

/** Sends back what comes in, and ends when it ends. */
const echo = (connection: Connection): void =>
  acceptAll(connection, true, (stream) => {
    const step = (): void => {
      for (let bytes = stream.read(); bytes !== undefined; bytes = stream.read()) stream.write(bytes)
      if (stream.isFinished) stream.finish()
      else if (!stream.closed) stream.readWaiter = step
      connection.wake()
    }
    step()
  })

const nothingOpen = (pair: Pair): void => {
  pair.until(
    () => pair.connection.streams.openStreams + pair.accepted.streams.openStreams === 0,
    pair.simulator.now + 5000
  )
  assert.strictEqual(pair.connection.streams.openStreams, 0)
  assert.strictEqual(pair.accepted.streams.openStreams, 0)
  assert.strictEqual(pair.connection.streams.bufferedBytes, 0)
}

describe("Many streams", () => {
  it.each<[string, ReadonlyArray<DuplexOptions> | undefined]>([
    ["a clean link", undefined],
    ["2 % loss and reordering", lossy]
  ])("RFC 9000 4.6: 2000 echoes of 32 bytes with a limit of 100 streams, over %s", (_, links) => {
    const pair = established({ links })
    echo(pair.accepted)
    const drains: Array<Drain> = []
    let most = 0
    openAll(pair.connection, true, 2000, (stream) => {
      stream.write(pattern(0, 32))
      stream.finish()
      drains.push(new Drain(pair.connection, stream))
      most = Math.max(most, pair.connection.streams.openStreams)
    })
    const start = pair.simulator.now
    pair.until(() => drains.length === 2000 && drains.every((drain) => drain.finished), start + 20_000, 5)
    assert.strictEqual(drains.length, 2000)
    assert.isTrue(drains.every(({ finished, received, wrong }) => finished && received === 32 && wrong === -1))
    assert.isAtMost(most, 100)
    nothingOpen(pair)
    if (links === undefined) assert.isBelow(pair.simulator.now - start, 1500)
  })

  it("100 streams of 100 kB at once take turns and end close to each other", () => {
    const pair = established({ links: [{ mbps: 40, delay: 10, queue: 100, loss: 0.005 }] })
    const drains: Array<Drain> = []
    acceptAll(pair.accepted, false, (stream) => drains.push(new Drain(pair.accepted, stream)))
    openAll(pair.connection, false, 100, (stream) => pump(pair.connection, stream, 100_000))
    pair.until(() => drains.length === 100, 2000)
    // All of them move before the first one is done.
    pair.until(() => drains.some((drain) => drain.finished), 20_000, 5)
    assert.isTrue(drains.every((drain) => drain.received > 50_000))
    pair.until(() => drains.every((drain) => drain.finished), 20_000, 5)
    assert.isTrue(drains.every(({ received, wrong }) => received === 100_000 && wrong === -1))
    nothingOpen(pair)
  })

  it("both kinds from both sides at once, thousands over the life of a connection", () => {
    for (const seed of seeds(2)) {
      const settings = { maxBidiStreams: 7, maxUniStreams: 3 }
      const pair = established({ seed, links: lossy, client: { settings }, server: { settings } })
      let done = 0
      for (const connection of [pair.connection, pair.accepted]) {
        echo(connection)
        acceptAll(connection, false, (stream) => {
          const drain = new Drain(connection, stream)
          const check = (): void => {
            if (!drain.finished) return void pair.simulator.at(pair.simulator.now + 5, check)
            assert.strictEqual(drain.wrong, -1)
            done++
          }
          check()
        })
      }
      const answers: Array<Drain> = []
      for (const connection of [pair.connection, pair.accepted]) {
        openAll(connection, false, 150, (stream, i) => pump(connection, stream, i * 20))
        openAll(connection, true, 150, (stream, i) => {
          pump(connection, stream, i * 20)
          answers.push(new Drain(connection, stream))
        })
      }
      pair.until(() => done === 300 && answers.length === 300 && answers.every((one) => one.finished), 120_000, 10)
      assert.strictEqual(done, 300, `seed ${seed}`)
      assert.isTrue(
        answers.every(({ finished, wrong }) => finished && wrong === -1),
        `seed ${seed}`
      )
      nothingOpen(pair)
    }
  })

  it("an empty stream is a stream: FIN alone arrives (RFC 9000 2.2)", () => {
    const pair = established()
    const drains: Array<Drain> = []
    acceptAll(pair.accepted, false, (stream) => drains.push(new Drain(pair.accepted, stream)))
    pair.connection.streams.open(false)!.finish()
    pair.connection.wake()
    pair.run(pair.simulator.now + 50)
    assert.deepStrictEqual(
      drains.map(({ finished, received }) => [finished, received]),
      [[true, 0]]
    )
    nothingOpen(pair)
  })
})

const order = (urgencies: ReadonlyArray<number>, incremental: boolean): ReadonlyArray<number> => {
  const pair = established({ links: [{ mbps: 10, delay: 10, queue: 100 }] })
  const drains: Array<Drain> = []
  acceptAll(pair.accepted, false, (stream) => drains.push(new Drain(pair.accepted, stream)))
  openAll(pair.connection, false, urgencies.length, (stream, i) => {
    stream.setPriority(urgencies[i]!, incremental)
    pump(pair.connection, stream, 200_000)
  })
  const finished: Array<number> = []
  pair.until(() => {
    drains.forEach((drain, i) => {
      if (drain.finished && !finished.includes(i)) finished.push(i)
    })
    return finished.length === urgencies.length
  }, 20_000)
  return finished
}

describe("Priorities (RFC 9000 2.3, RFC 9218 4)", () => {
  it("the more urgent ones are done first, whatever the order in which they were opened", () => {
    // Streams are accepted in the order of IDs, so the index of a drain is that of its stream.
    assert.deepStrictEqual(order([7, 5, 3, 1, 0], true), [4, 3, 2, 1, 0])
    assert.deepStrictEqual(order([2, 6, 0, 4], false), [2, 0, 3, 1])
  })

  it("of equal urgency, those that are not incremental go one after the other", () => {
    assert.deepStrictEqual(order([3, 3, 3], false), [0, 1, 2])
  })
})

describe("RFC 9000 3: resets and stops", () => {
  const CODE = 2 ** 33 + 1

  it("3.5: a reset in the middle reaches the reader with its code, and frees both sides", () => {
    for (const links of [undefined, lossy]) {
      const pair = established({ links })
      const streams: Array<Stream> = []
      acceptAll(pair.accepted, false, (stream) => streams.push(stream))
      const stream = pair.connection.streams.open(false)!
      pump(pair.connection, stream, 500_000)
      pair.until(() => pair.accepted.streams.bytesReceived > 100_000, 2000)
      assert.isTrue(stream.reset(CODE))
      assert.isFalse(stream.reset(CODE + 1))
      pair.connection.wake()
      pair.until(() => streams[0]!.resetCode >= 0, 5000)
      assert.strictEqual(streams[0]!.resetCode, CODE)
      while (streams[0]!.read() !== undefined);
      assert.isFalse(streams[0]!.isFinished)
      nothingOpen(pair)
    }
  })

  it("3.5: STOP_SENDING brings a reset with the same code; the other direction goes on", () => {
    const pair = established({ links: lossy })
    const streams: Array<Stream> = []
    acceptAll(pair.accepted, true, (stream) => streams.push(stream))
    const stream = pair.connection.streams.open(true)!
    const back = new Drain(pair.connection, stream)
    pump(pair.connection, stream, 500_000)
    pair.until(() => pair.accepted.streams.bytesReceived > 50_000, 2000)
    streams[0]!.stopSending(CODE)
    pump(pair.accepted, streams[0]!, 100_000)
    pair.until(() => stream.stopCode >= 0 && back.finished, 10_000)
    assert.strictEqual(stream.stopCode, CODE)
    assert.isFalse(stream.isWritable)
    assert.strictEqual(back.received, 100_000)
    assert.strictEqual(back.wrong, -1)
    pair.until(() => streams[0]!.resetCode >= 0, 5000)
    assert.strictEqual(streams[0]!.resetCode, CODE)
    nothingOpen(pair)
  })

  it("3.2: resets, stops and ends that cross each other leave nothing, whatever wins", () => {
    for (const seed of seeds(60)) {
      const pair = established({ seed, links: lossy })
      const { random } = pair.simulator
      const act = (connection: Connection, stream: Stream): void => {
        pair.simulator.at(pair.simulator.now + random.int(60), () => {
          const choice = random.int(4)
          if (choice === 0) stream.reset(random.int(1000))
          else if (choice === 1) stream.stopSending(random.int(1000))
          else if (choice === 2) stream.finish()
          else {
            stream.reset(1)
            stream.stopSending(2)
          }
          connection.wake()
          pair.simulator.at(pair.simulator.now + random.int(40), () => {
            stream.finish()
            stream.reset(7)
            stream.stopSending(8)
            while (stream.read() !== undefined);
            connection.wake()
          })
        })
      }
      acceptAll(pair.accepted, true, (stream) => {
        stream.write(pattern(0, random.int(5000)))
        act(pair.accepted, stream)
      })
      openAll(pair.connection, true, 20, (stream) => {
        stream.write(pattern(0, random.int(5000)))
        act(pair.connection, stream)
      })
      pair.run(pair.simulator.now + 3000)
      assert.strictEqual(pair.client.closes.length + pair.server.closes.length, 0, `seed ${seed}`)
      // Whoever neither read to the end nor stopped keeps its stream: all were reset or stopped above.
      assert.strictEqual(pair.connection.streams.openStreams, 0, `seed ${seed}`)
      assert.strictEqual(pair.accepted.streams.openStreams, 0, `seed ${seed}`)
    }
  })

  it("4.5: bytes that a reset dropped are given back to the connection's window", () => {
    const settings = { initialConnectionWindow: 100_000, maxConnectionWindow: 100_000 }
    const pair = established({ server: { settings } })
    for (let i = 0; i < 30; i++) {
      const stream = pair.connection.streams.open(false)!
      stream.write(pattern(0, 20_000))
      pair.connection.wake()
      pair.run(pair.simulator.now + 30)
      stream.reset(1)
      pair.connection.wake()
      pair.run(pair.simulator.now + 60)
      const received = pair.accepted.streams.accept(false)!
      assert.strictEqual(received.resetCode, 1, `stream ${i}`)
    }
    const last = say(pair.connection, pattern(0, 50_000))
    last.finish()
    pair.run(pair.simulator.now + 200)
    const drain = new Drain(pair.accepted, pair.accepted.streams.accept(true)!)
    assert.strictEqual(drain.received, 50_000)
  })

  it("a stream keeps its bytes apart from those of others, byte for byte", () => {
    const pair = established({ links: lossy })
    const total = 30_000
    const seen = new Map<number, Uint8Array>()
    acceptAll(pair.accepted, false, (stream) => {
      const all = new Uint8Array(total)
      let at = 0
      seen.set(stream.id, all)
      const step = (): void => {
        for (let bytes = stream.read(); bytes !== undefined; bytes = stream.read()) {
          all.set(bytes, at)
          at += bytes.length
        }
        stream.readWaiter = step
        pair.accepted.wake()
      }
      step()
    })
    openAll(pair.connection, false, 20, (stream) => {
      const bytes = new Uint8Array(total)
      for (let i = 0; i < total; i++) bytes[i] = byteAt(i) ^ stream.id
      stream.write(bytes)
      stream.finish()
    })
    pair.run(pair.simulator.now + 5000)
    assert.strictEqual(seen.size, 20)
    for (const [id, all] of seen)
      for (let i = 0; i < total; i++) if (all[i] !== (byteAt(i) ^ id)) assert.fail(`${id}: ${i}`)
  })
})
