/**
 * Nobody waits for ever: applications that act only when they are woken, on two tables with small windows and buffers, over
 * a network that loses, delays and repeats. When nothing is left to be sent, nobody may be waiting.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Stream } from "../../src/internal/streams/Stream.ts"
import { Random } from "../wire/random.ts"
import { contentAt, pair } from "./support.ts"
import type { End, Packet } from "./support.ts"

/** Somebody who does what can be done now; undefined when done, otherwise how to wait for more. */
interface Actor {
  readonly name: string
  readonly step: () => ((wake: () => void) => void) | undefined
}

const contentOf = (offset: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => contentAt(offset + at))

class World {
  readonly random: Random
  readonly client: End
  readonly server: End
  /** Woken, and not run yet. */
  private readonly ready: Array<Actor> = []
  readonly waiting = new Set<Actor>()
  readonly flying: Array<Packet> = []
  readonly gone = new Set<number>()
  now = 0

  constructor(seed: number) {
    const random = new Random(seed)
    this.random = random
    const size = (least: number, most: number): number => random.between(least, most)
    // Half of them with windows that stay as they are: credit that is lost shows there.
    const growth = random.boolean() ? 1 : 4
    const settings = () => {
      const initialStreamWindow = size(100, 8000)
      const initialConnectionWindow = size(200, 8000)
      return {
        initialStreamWindow,
        maxStreamWindow: growth * initialStreamWindow,
        initialConnectionWindow,
        maxConnectionWindow: growth * initialConnectionWindow,
        streamSendBuffer: size(100, 5000),
        maxBidiStreams: size(1, 6),
        maxUniStreams: size(0, 6)
      }
    }
    const { client, server } = pair(settings(), settings())
    this.client = client
    this.server = server
  }

  other(end: End): End {
    return end === this.client ? this.server : this.client
  }

  start(name: string, step: Actor["step"]): void {
    this.ready.push({ name, step })
  }

  /** Runs one of those that were woken. */
  run(): boolean {
    const { ready, random } = this
    if (ready.length === 0) return false
    const [actor] = ready.splice(random.between(0, ready.length - 1), 1)
    const wait = actor!.step()
    if (wait === undefined) return true
    this.waiting.add(actor!)
    wait(() => {
      // A waiter that has let go of the machine comes to nothing.
      if (this.waiting.delete(actor!)) ready.push(actor!)
    })
    return true
  }

  /** Packets of one end, on any path that is left. */
  send(end: End, count: number): boolean {
    let any = false
    for (; count > 0; count--) {
      const path = this.random.between(0, 2)
      const packet = end.packet(this.now, this.gone.has(path) ? 0 : path, this.random.between(200, 1400))
      if (packet === undefined) continue
      this.flying.push(packet)
      any = true
    }
    return any
  }

  deliver(lossy: boolean): void {
    const { flying, random } = this
    const [packet] = flying.splice(lossy ? random.between(0, Math.min(20, flying.length - 1)) : 0, 1)
    const from = packet!.from
    const fate = lossy ? random.between(0, 9) : 9
    if (fate > 1) assert.isUndefined(this.other(from).receive(packet!, this.now))
    if (fate < 4) from.lost(packet!)
    if (fate > 2) from.acked(packet!)
  }

  closePath(path: number): void {
    this.gone.add(path)
    for (const end of [this.client, this.server]) end.table.onPathClosed(path)
  }

  flush(): void {
    this.client.table.flushWakes()
    this.server.table.flushWakes()
  }
}

const writer = (world: World, name: string, stream: Stream): void => {
  const { random } = world
  const total = random.between(0, 3) === 0 ? 0 : random.between(1, 20_000)
  const resetAt = random.between(0, 4) === 0 ? random.between(0, total) : Infinity
  let written = 0
  // To paths that are there, as the shell sees to.
  if (random.between(0, 3) === 0) stream.setPaths([0, 1, 2].filter((id) => !world.gone.has(id) && random.boolean()))
  world.start(`writer of ${name}`, () => {
    while (stream.isWritable) {
      if (random.between(0, 9) === 0) stream.setPriority(random.between(0, 7), random.boolean())
      if (written >= resetAt) stream.reset(written)
      else if (written === total) stream.finish()
      else if (stream.writableBytes === 0) return (wake) => (stream.writeWaiter = wake)
      else {
        const length = Math.min(total - written, random.between(1, 3000))
        stream.write(contentOf(written, length))
        written += length
      }
    }
    // Reset or stopped, or all is acknowledged.
    return stream.isFlushSettled ? undefined : (wake) => (stream.flushWaiter = wake)
  })
}

const reader = (world: World, name: string, stream: Stream): void => {
  const { random } = world
  const stopAt = random.between(0, 3) === 0 ? random.between(0, 5000) : Infinity
  let read = 0
  world.start(`reader of ${name}`, () => {
    for (;;) {
      if (read >= stopAt) stream.stopSending(read)
      const bytes = stream.read(random.between(1, 4000))
      if (bytes === undefined) break
      assert.isTrue(bytes.every((byte, at) => byte === contentAt(read + at)))
      read += bytes.length
    }
    return stream.isReadSettled ? undefined : (wake) => (stream.readWaiter = wake)
  })
}

const use = (world: World, name: string, stream: Stream): void => {
  if (stream.send !== undefined) writer(world, name, stream)
  if (stream.receive !== undefined) reader(world, name, stream)
}

/** Opens so many streams, one after the other as the peer allows; the peer takes them. */
const talk = (world: World, end: End, who: string, bidirectional: boolean, count: number): void => {
  const peer = world.other(end).table
  let opened = 0
  let accepted = 0
  world.start(`opener of ${who}`, () => {
    while (opened < count) {
      const stream = end.table.open(bidirectional)
      if (stream === undefined) return (wake) => end.table.setOpenWaiter(bidirectional, wake)
      opened++
      use(world, `${who} ${stream.id}`, stream)
    }
    return undefined
  })
  world.start(`acceptor of ${who}`, () => {
    while (accepted < count) {
      const stream = peer.accept(bidirectional)
      if (stream === undefined) return (wake) => peer.setAcceptWaiter(bidirectional, wake)
      accepted++
      use(world, `${who} ${stream.id}, accepted`, stream)
    }
    return undefined
  })
}

const run = (seed: number): void => {
  const world = new World(seed)
  const { client, random, server } = world
  for (const [end, who] of [
    [client, "client"],
    [server, "server"]
  ] as const) {
    talk(world, end, `${who} bidi`, true, random.between(0, 20))
    const uni = random.between(0, 20)
    // Without a limit nobody can.
    if (end.table.isOpenable(false)) talk(world, end, `${who} uni`, false, uni)
  }
  let closing = random.between(20, 400)
  let calm = 0
  for (let round = 0; ; round++) {
    assert.isBelow(round, 50_000, `seed ${seed} does not come to rest`)
    world.now += random.between(0, 3)
    if (--closing === 0) world.closePath(random.between(1, 2))
    const lossy = round < 600
    let quiet = true
    for (let turns = lossy ? random.between(0, 3) : 1000; turns > 0 && world.run(); turns--) quiet = false
    for (const end of [client, server]) if (world.send(end, lossy ? random.between(0, 3) : 8)) quiet = false
    for (let count = lossy ? random.between(0, 4) : Infinity; count > 0 && world.flying.length > 0; count--) {
      quiet = false
      world.deliver(lossy)
    }
    if (lossy ? random.between(0, 2) === 0 : true) world.flush()
    // Paths are chosen at random, so one round without a packet proves little.
    calm = quiet && !lossy ? calm + 1 : 0
    if (calm > 20) break
  }
  assert.deepStrictEqual(
    [...world.waiting].map((actor) => actor.name),
    [],
    `seed ${seed}: they wait for ever`
  )
  for (const end of [client, server]) {
    assert.strictEqual(end.table.openStreams, 0, `seed ${seed}`)
    assert.strictEqual(end.table.bufferedBytes, 0, `seed ${seed}`)
    assert.strictEqual(end.table.queuedBytes, 0, `seed ${seed}`)
  }
  assert.strictEqual(client.table.bytesReceived <= server.table.bytesSent, true)
}

describe("A2, C3: no order of writes, credits, acknowledgements, resets and stops leaves anybody waiting", () => {
  it("25 random worlds", () => {
    const first = Number(process.env["SEED"] ?? 1)
    const count = process.env["SEED"] === undefined ? 25 : 1
    for (let seed = first; seed < first + count; seed++) run(seed)
  })
})
