/** Ten thousand of everything that a peer or an application may do: each costs what it changes, not what there is. */
import { assert, describe, it, vi } from "@effect/vitest"
import { content, limitsOf, pair, settings, settle } from "./support.ts"
import type { End } from "./support.ts"

const MANY = 10_000

const large = {
  maxBidiStreams: MANY,
  maxUniStreams: MANY,
  initialStreamWindow: 1000,
  maxStreamWindow: 100_000,
  initialConnectionWindow: 100_000_000,
  maxConnectionWindow: 1_000_000_000
}

/** Two ends with so many streams open, which the peer has accepted, and a byte on each. */
const crowded = (own: Parameters<typeof pair>[0] = {}, peer = own): { readonly client: End; readonly server: End } => {
  const ends = pair({ ...large, ...own }, { ...large, ...peer })
  for (let count = 0; count < MANY; count++) ends.client.table.open(true)!.write(content(0, 1))
  settle(ends.client, ends.server)
  while (ends.server.table.accept(true) !== undefined);
  return ends
}

/** Runs something so often, and fails if it looked at all streams: each walk begins at one of these. */
const withoutWalk = (what: string, each: (at: number) => void, count = MANY): void => {
  const spies = (["values", "entries", "forEach", Symbol.iterator] as const).map((name) =>
    vi.spyOn(Map.prototype, name as "values")
  )
  try {
    for (let at = 0; at < count; at++) each(at)
    const walks = spies.reduce((all, spy) => all + spy.mock.calls.length, 0)
    assert.strictEqual(walks, 0, `${what} walks over all streams`)
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const sendAll = (from: End, to: End, sink: (packet: NonNullable<ReturnType<End["packet"]>>) => void): void => {
  for (let packet = from.packet(); packet !== undefined; packet = from.packet()) {
    assert.isUndefined(to.receive(packet))
    sink(packet)
  }
}

describe("B6: 10,000 of everything", () => {
  it("DATA_BLOCKED, and reads while the peer is blocked", () => {
    const { client, server } = crowded({ initialConnectionWindow: 3 * MANY })
    const { table } = server
    for (let at = 0; at < MANY; at++) table.get(4 * at)!.readAll()
    settle(client, server)
    // Out of order on one stream, so that neither it nor the window can go on.
    assert.isUndefined(table.onStreamFrame(0, 500, content(500, 10), 0, 10, false, 0))
    withoutWalk("DATA_BLOCKED", () => assert.isUndefined(table.onDataBlocked(10 ** 9)))
    withoutWalk("a read", (at) => {
      if (at === 0) return
      assert.isUndefined(table.onStreamFrame(4 * at, 1, content(1, 1), 0, 1, false, 0))
      table.get(4 * at)!.readAll()
    })
    assert.strictEqual(table.timesPeerBlocked, MANY)
  })

  it("credit and *_BLOCKED for each stream", () => {
    const { client, server } = crowded()
    withoutWalk("STREAM_DATA_BLOCKED", (at) => server.table.onStreamDataBlocked(4 * at, 1000))
    withoutWalk("STREAMS_BLOCKED", (at) => server.table.onStreamsBlocked(true, at))
    withoutWalk("MAX_STREAM_DATA", (at) => client.table.onMaxStreamData(4 * at, 2000))
    withoutWalk("MAX_DATA", (at) => client.table.onMaxData(large.initialConnectionWindow + at))
    withoutWalk("MAX_STREAMS", (at) => client.table.onMaxStreams(true, MANY + at))
    withoutWalk("opening", () => client.table.open(true), MANY - 1)
    withoutWalk("a question of a path", (at) => {
      client.table.hasData(at)
      client.table.hasBound(at)
      client.table.hasRetransmission(at)
    })
  })

  it("writes, priorities, paths, acknowledgements, losses and ends", () => {
    const { client, server } = crowded({ streamSendBuffer: 1000 })
    const { table } = client
    let woken = 0
    withoutWalk("a write that has to wait", (at) => {
      const stream = table.get(4 * at)!
      stream.write(content(1, 100))
      if (stream.writableBytes > 0) stream.write(content(101, 100))
      else stream.writeWaiter = () => woken++
    })
    withoutWalk("a priority", (at) => table.get(4 * at)!.setPriority(at % 8, at % 3 === 0))
    withoutWalk("paths", (at) => table.get(4 * at)!.setPaths([0, 1 + (at % 3)]))
    const packets: Array<NonNullable<ReturnType<End["packet"]>>> = []
    sendAll(client, server, (packet) => packets.push(packet))
    assert.isAtMost(table.laneSteps, 200_000)
    withoutWalk("a loss", (at) => client.lost(packets[at]!), packets.length)
    withoutWalk("an acknowledgement", (at) => client.acked(packets[at]!), packets.length)
    withoutWalk("a flush", () => table.flushWakes())
    assert.isAbove(woken, MANY / 2)
    withoutWalk("an end", (at) => table.get(4 * at)!.finish())
    withoutWalk("a closed path", (at) => table.onPathClosed(10 + at))
  })

  it("resets and stops of both sides, and accepting", () => {
    for (const byPeer of [false, true]) {
      const { client, server } = crowded()
      withoutWalk("a reset", (at) => {
        if (byPeer) assert.isUndefined(server.table.onResetStream(4 * at, 1, 1, 0))
        else client.table.get(4 * at)!.reset(1)
      })
      withoutWalk("a stop", (at) => {
        if (byPeer) assert.isUndefined(server.table.onStopSending(4 * at, 1))
        else client.table.get(4 * at)!.stopSending(1)
      })
      sendAll(client, server, (packet) => client.acked(packet))
      sendAll(server, client, (packet) => server.acked(packet))
      settle(client, server)
      assert.strictEqual(server.table.openStreams, 0)
      if (!byPeer) assert.strictEqual(client.table.openStreams, 0)
    }
    const { client, server } = pair(large)
    for (let at = 0; at < MANY; at++) client.table.open(false)!.finish()
    sendAll(client, server, (packet) => client.acked(packet))
    withoutWalk("accepting", () => assert.isDefined(server.table.accept(false)))
  })

  it("MAX_STREAMS one by one after a server has refused the 0-RTT in which all were opened", () => {
    const { client } = pair(large)
    for (let count = 0; count < MANY; count++) client.table.open(count % 2 === 0)!.write(content(0, 1))
    client.table.rejectEarlyData()
    client.table.applyPeerParameters(limitsOf(settings({ ...large, maxBidiStreams: 0, maxUniStreams: 0 })))
    assert.isFalse(client.table.hasData(0))
    withoutWalk("MAX_STREAMS", (at) => client.table.onMaxStreams(at % 2 === 0, Math.floor(at / 2) + 1))
    let sent = 0
    for (let packet = client.packet(); packet !== undefined; packet = client.packet()) sent++
    assert.isAbove(sent, 10)
    assert.strictEqual(client.table.queuedBytes, 0)
  })

  it("ranges that are acknowledged or lost in any order cost no more than themselves", () => {
    const { client } = pair({ ...large, initialStreamWindow: 20_000_000 })
    const stream = client.table.open(true)!
    stream.write(content(0, 2_400_000))
    const packets: Array<NonNullable<ReturnType<End["packet"]>>> = []
    for (let packet = client.packet(0, 0, 240); packet !== undefined; packet = client.packet(0, 0, 240))
      packets.push(packet)
    assert.isAbove(packets.length, MANY)
    const odd = packets.filter((_, at) => at % 2 === 1)
    for (const packet of odd.toReversed()) client.acked(packet)
    for (const packet of packets) client.lost(packet)
    for (const packet of packets) client.acked(packet)
    assert.isAtMost(stream.send!.buffer.rangeSteps, 40 * packets.length)
    assert.isTrue(stream.send!.buffer.allAcked)
  })
})
