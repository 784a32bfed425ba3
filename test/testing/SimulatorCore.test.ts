import { assert, describe, it } from "@effect/vitest"
import { Ecn } from "../../src/internal/wire/Datagram.ts"
import type { Address } from "../../src/internal/wire/Datagram.ts"
import { Simulator } from "../../src/testing/internal/SimulatorCore.ts"
import type { DuplexOptions, Fate, SimulatorOptions } from "../../src/testing/internal/SimulatorCore.ts"

const send = (sim: Simulator, local: Address, remote: Address, length: number, ecn: number = Ecn.notEct, fill = 7) =>
  sim.send({ local, remote, ecn, segmentSize: Math.max(1, length), bytes: new Uint8Array(length).fill(fill) })

/** Two hosts, one link from a to b with these options; what arrives at b is recorded. */
const pair = (link: DuplexOptions, options: SimulatorOptions = {}) => {
  const lines: Array<string> = []
  const sim = new Simulator({ onTrace: (line) => lines.push(line), ...options })
  const a = sim.addresses.intern("10.0.0.1", 1000)
  const b = sim.addresses.intern("10.9.0.1", 443)
  const arrivals: Array<{ time: number; length: number; ecn: number; first: number; from: string }> = []
  const bursts: Array<number> = []
  sim.attach(b, (burst, now) => {
    bursts.push(burst.count)
    for (let i = 0; i < burst.count; i++) {
      arrivals.push({
        time: now,
        length: burst.length[i]!,
        ecn: burst.ecn[i]!,
        first: burst.slab[burst.offset[i]!]!,
        from: burst.remote[i]!.toString()
      })
    }
  })
  return { sim, a, b, arrivals, bursts, lines, link: sim.link("10.0.0.1", "10.9.0.1", link) }
}

const fates = (lines: ReadonlyArray<string>, fate: Fate) => lines.filter((line) => line.includes(` ${fate} `)).length

/** A busy, nasty network: every accident at once, both directions. */
const busyTrace = (seed: number): string => {
  const lines: Array<string> = []
  const sim = new Simulator({ seed, onTrace: (line) => lines.push(line) })
  const a = sim.addresses.intern("10.0.0.1", 1000)
  const b = sim.addresses.intern("10.9.0.1", 443)
  sim.link("10.0.*", "10.9.*", {
    mbps: 12,
    delay: 5,
    jitter: 3,
    queue: 30,
    loss: 0.02,
    burstLoss: { enter: 0.01, leave: 0.3 },
    reorder: 0.05,
    duplicate: 0.03,
    corrupt: 0.04,
    ecnMark: 10
  })
  sim.attach(b, (burst) => {
    for (let i = 0; i < burst.count; i++) send(sim, b, a, 40)
  })
  sim.attach(a, () => {})
  for (let i = 0; i < 400; i++) sim.at(i * 0.4, () => send(sim, a, b, 200 + sim.random.int(1000), Ecn.ect0, i & 255))
  sim.run()
  return lines.join("\n")
}

describe("SimulatorCore", () => {
  it("gives the same trace, byte for byte, for the same seed, and another one for another seed", () => {
    const first = busyTrace(7)
    assert.strictEqual(first, busyTrace(7))
    assert.notStrictEqual(first, busyTrace(8))
    for (const fate of ["delivered", "lost", "queueFull"] as const) assert.isAbove(fates(first.split("\n"), fate), 0)
  })

  it("delivers after the delay, and datagrams of one instant as one burst", () => {
    const { sim, a, b, arrivals, bursts } = pair({ delay: 10 })
    sim.send({ local: a, remote: b, ecn: 0, segmentSize: 100, bytes: new Uint8Array(250).fill(3) })
    sim.at(4, () => send(sim, a, b, 60))
    sim.run()
    assert.deepStrictEqual(
      arrivals.map(({ time, length }) => [time, length]),
      [
        [10, 100],
        [10, 100],
        [10, 50],
        [14, 60]
      ]
    )
    assert.deepStrictEqual(bursts, [3, 1])
    assert.strictEqual(sim.now, 14)
  })

  it("splits an instant into several bursts when it does not fit into one", () => {
    const sim = new Simulator()
    const [a, b] = [sim.addresses.intern("10.0.0.1", 1), sim.addresses.intern("10.0.0.2", 2)]
    const bursts: Array<number> = []
    sim.attach(b, (burst) => bursts.push(burst.count), 4)
    for (let i = 0; i < 10; i++) send(sim, a, b, 20)
    sim.run()
    assert.deepStrictEqual(bursts, [4, 4, 2])
  })

  it("sends an empty datagram", () => {
    const { sim, a, b, arrivals } = pair({})
    send(sim, a, b, 0)
    sim.run()
    assert.deepStrictEqual(
      arrivals.map(({ length }) => length),
      [0]
    )
  })

  it("takes a transmit without a segment size as one datagram", () => {
    const { sim, a, b, arrivals } = pair({})
    sim.send({ local: a, remote: b, ecn: 0, segmentSize: 0, bytes: new Uint8Array(30) })
    sim.run()
    assert.deepStrictEqual(
      arrivals.map(({ length }) => length),
      [30]
    )
  })

  it("keeps the rate exactly: 1000 packets of 1250 bytes at 10 Mbit/s take 1000 ms", () => {
    const { sim, a, b, arrivals, link } = pair({ mbps: 10, delay: 20, queue: 2000 })
    for (let i = 0; i < 1000; i++) send(sim, a, b, 1250)
    sim.run()
    assert.lengthOf(arrivals, 1000)
    assert.approximately(arrivals[999]!.time, 1020, 1e-6)
    assert.approximately(arrivals[0]!.time, 21, 1e-9)
    assert.strictEqual(link.stats.forward.deliveredBytes, 1_250_000)
    assert.strictEqual(link.stats.forward.longestQueue, 999)
  })

  it("drops from the tail of a full queue, by packets and by bytes", () => {
    const byPackets = pair({ mbps: 10, queue: 5 })
    for (let i = 0; i < 20; i++) send(byPackets.sim, byPackets.a, byPackets.b, 1000, 0, i)
    byPackets.sim.run()
    // One on the wire, five behind it.
    assert.deepStrictEqual(
      byPackets.arrivals.map(({ first }) => first),
      [0, 1, 2, 3, 4, 5]
    )
    assert.strictEqual(fates(byPackets.lines, "queueFull"), 14)

    const byBytes = pair({ mbps: 10, queueBytes: 2500 })
    for (let i = 0; i < 20; i++) send(byBytes.sim, byBytes.a, byBytes.b, 1000)
    byBytes.sim.run()
    assert.lengthOf(byBytes.arrivals, 3)
  })

  it("applies a new rate to what is left of the packet on the wire", () => {
    const { sim, a, b, arrivals, link } = pair({ mbps: 1, delay: 0 })
    // 1250 bytes take 10 ms at 1 Mbit/s. After 5 ms, the rest goes ten times as fast.
    send(sim, a, b, 1250)
    send(sim, a, b, 1250)
    sim.at(5, () => link.set({ mbps: 10 }))
    sim.run()
    assert.approximately(arrivals[0]!.time, 5.5, 1e-9)
    assert.approximately(arrivals[1]!.time, 6.5, 1e-9)
  })

  it("loses the asked share, in runs when asked", () => {
    const independent = pair({ loss: 0.1 })
    for (let i = 0; i < 20_000; i++) send(independent.sim, independent.a, independent.b, 20)
    independent.sim.run()
    assert.approximately(independent.link.stats.forward.lost / 20_000, 0.1, 0.01)

    const { sim, a, b, arrivals, link } = pair({ delay: 0, burstLoss: { enter: 0.01, leave: 0.2 } })
    for (let i = 0; i < 20_000; i++) sim.at(i, () => send(sim, a, b, 20))
    sim.run()
    // Stationary share of the bad state: 0.01 / (0.01 + 0.2).
    assert.approximately(link.stats.forward.lost / 20_000, 0.0476, 0.012)
    const arrived = new Set(arrivals.map(({ time }) => time))
    const lost = Array.from({ length: 20_000 }, (_, i) => i).filter((i) => !arrived.has(i))
    const runs = lost.filter((i) => arrived.has(i - 1)).length
    assert.approximately(lost.length / runs, 5, 1.2)
  })

  it("keeps the order under jitter, and breaks it only by reordering", () => {
    const jittery = pair({ delay: 10, jitter: 20 })
    for (let i = 0; i < 200; i++) jittery.sim.at(i, () => send(jittery.sim, jittery.a, jittery.b, 20, 0, i))
    jittery.sim.run()
    assert.deepStrictEqual(
      jittery.arrivals.map(({ first }) => first),
      Array.from({ length: 200 }, (_, i) => i)
    )
    const delays = jittery.arrivals.map(({ time, first }) => time - first)
    assert.isAtLeast(Math.min(...delays), 10)
    assert.isAtMost(Math.max(...delays), 30)
    assert.isAbove(Math.max(...delays), 25)

    const shuffled = pair({ delay: 10, reorder: 0.1, reorderDelay: 3.5 })
    for (let i = 0; i < 200; i++) shuffled.sim.at(i, () => send(shuffled.sim, shuffled.a, shuffled.b, 20, 0, i))
    shuffled.sim.run()
    const late = shuffled.arrivals.filter(({ time, first }) => time - first > 10.1)
    assert.strictEqual(late.length, shuffled.link.stats.forward.reordered)
    assert.isAbove(late.length, 5)
    assert.lengthOf(shuffled.arrivals, 200)
    assert.isTrue(late.every(({ time, first }) => Math.abs(time - first - 13.5) < 1e-9))
  })

  it("breaks the order by scatter, within its bounds", () => {
    const scattered = pair({ delay: 10, scatter: 20 })
    for (let i = 0; i < 200; i++) scattered.sim.at(i, () => send(scattered.sim, scattered.a, scattered.b, 20, 0, i))
    scattered.sim.run()
    const delays = scattered.arrivals.map(({ time, first }) => time - first)
    assert.lengthOf(delays, 200)
    assert.isAtLeast(Math.min(...delays), 10)
    assert.isAtMost(Math.max(...delays), 30)
    const overtaken = scattered.arrivals.filter(({ first }, i) => i > 0 && first < scattered.arrivals[i - 1]!.first)
    assert.isAbove(overtaken.length, 50)
  })

  it("changes one byte of corrupted packets and delivers duplicates twice", () => {
    const { sim, a, b, arrivals, link } = pair({ corrupt: 1, duplicate: 1 })
    let seen: Uint8Array | undefined
    sim.attach(sim.addresses.intern("10.9.0.1", 444), (burst) => {
      seen = burst.slab.slice(burst.offset[0], burst.offset[0]! + burst.length[0]!)
    })
    send(sim, a, b, 100)
    send(sim, a, sim.addresses.intern("10.9.0.1", 444), 100)
    sim.run()
    assert.lengthOf(arrivals, 2)
    assert.strictEqual(seen!.filter((byte) => byte !== 7).length, 1)
    assert.strictEqual(link.stats.forward.corrupted, 2)
    assert.strictEqual(link.stats.forward.duplicated, 2)
  })

  it("marks ECN-capable packets above the threshold, and no others (RFC 3168)", () => {
    const { sim, a, b, arrivals, link } = pair({ mbps: 10, ecnMark: 3 })
    for (let i = 0; i < 6; i++) send(sim, a, b, 1000, Ecn.ect0)
    send(sim, a, b, 1000, Ecn.notEct)
    sim.run()
    // The first is on the wire, three may wait unmarked.
    assert.deepStrictEqual(
      arrivals.map(({ ecn }) => ecn),
      [2, 2, 2, 2, 3, 3, 0]
    )
    assert.strictEqual(link.stats.forward.marked, 2)
  })

  it("lets what is bigger than the MTU vanish", () => {
    const { sim, a, b, arrivals, lines } = pair({ mtu: 1300 })
    for (const length of [1200, 1300, 1301, 1452]) send(sim, a, b, length)
    sim.run()
    assert.deepStrictEqual(
      arrivals.map(({ length }) => length),
      [1200, 1300]
    )
    assert.strictEqual(fates(lines, "tooBig"), 2)
  })

  it("loses what is inside a link that goes down, and carries again after it is restored", () => {
    const { sim, a, b, arrivals, link } = pair({ mbps: 1, delay: 50 })
    for (let i = 0; i < 10; i++) send(sim, a, b, 1250, 0, i)
    sim.at(65, () => link.cut())
    sim.at(70, () => send(sim, a, b, 1250, 0, 99))
    sim.at(100, () => {
      link.restore()
      send(sim, a, b, 1250, 0, 100)
    })
    sim.run()
    assert.deepStrictEqual(
      arrivals.map(({ first, time }) => [first, Math.round(time)]),
      [
        [0, 60],
        [100, 160]
      ]
    )
    assert.strictEqual(link.stats.forward.down, 10)
    assert.strictEqual(link.forward.link.inside, 0)
  })

  it("takes options per direction, and the more specific link", () => {
    const sim = new Simulator()
    const client = sim.addresses.intern("10.0.0.1", 1)
    const other = sim.addresses.intern("10.0.0.2", 1)
    const server = sim.addresses.intern("10.9.0.1", 2)
    const times: Array<string> = []
    for (const address of [client, other, server]) {
      sim.attach(address, (_, now) => {
        times.push(`${address.host} ${now}`)
      })
    }
    sim.link("10.0.0.1", "10.9.0.1", { delay: 10, backward: { delay: 30 } })
    sim.link("10.0.*", "10.9.*", { delay: 50 })
    send(sim, client, server, 20)
    send(sim, server, client, 20)
    send(sim, other, server, 20)
    send(sim, client, other, 20)
    sim.run()
    assert.deepStrictEqual(times, ["10.0.0.2 1", "10.9.0.1 10", "10.0.0.1 30", "10.9.0.1 50"])
  })

  it("sends through several links in a row, and shares one link among several hosts", () => {
    const sim = new Simulator()
    const clients = ["10.0.0.1", "10.1.0.1"].map((host) => sim.addresses.intern(host, 1))
    const server = sim.addresses.intern("10.9.0.1", 2)
    const arrivals: Array<[string, number]> = []
    sim.attach(server, (burst, now) => {
      for (let i = 0; i < burst.count; i++) arrivals.push([burst.remote[i]!.host, Math.round(now)])
    })
    const back: Array<number> = []
    sim.attach(clients[0]!, (_, now) => {
      back.push(now)
    })
    const bottleneck = sim.makeLink({ mbps: 1, delay: 0 })
    const access = [sim.makeLink({ delay: 10 }), sim.makeLink({ delay: 20 })]
    sim.route("10.0.0.1", "10.9.0.1", [access[0]!, bottleneck])
    sim.route("10.1.0.1", "10.9.0.1", [access[1]!, bottleneck])
    for (let i = 0; i < 2; i++) for (const client of clients) send(sim, client, server, 1250)
    sim.run(1000)
    // 10 ms a packet on the bottleneck; the second client's packets find it busy until 30.
    assert.deepStrictEqual(arrivals, [
      ["10.0.0.1", 20],
      ["10.0.0.1", 30],
      ["10.1.0.1", 40],
      ["10.1.0.1", 50]
    ])
    send(sim, server, clients[0]!, 1250)
    sim.run()
    assert.deepStrictEqual(back, [1020])
    assert.strictEqual(bottleneck.stats.forward.delivered, 4)
    assert.strictEqual(bottleneck.stats.backward.delivered, 1)
  })

  it("reports what reaches nobody", () => {
    const { sim, a, lines } = pair({})
    send(sim, a, sim.addresses.intern("10.9.0.1", 9), 20)
    sim.run()
    assert.strictEqual(sim.unreachable, 1)
    assert.strictEqual(fates(lines, "unreachable"), 1)
  })

  it("names the option, its value and the range when it refuses one", () => {
    const sim = new Simulator()
    assert.throws(() => sim.link("a", "b", { loss: 1.5 }), "loss is 1.5; allowed: a number from 0 to 1")
    assert.throws(() => sim.link("a", "b", { backward: { delay: -1 } }), "delay is -1")
    assert.throws(() => sim.link("a", "b", { mbps: 0 }), "mbps is 0; allowed: a number above 0")
    assert.throws(
      () => sim.link("a", "b", { burstLoss: { enter: 2, leave: 1 } }),
      "burstLoss.enter is 2; allowed: a number from 0 to 1"
    )
  })
})

describe("SimulatorCore timers", () => {
  it("fire by time, then in the order of setting; may be moved and cleared", () => {
    const sim = new Simulator()
    const fired: Array<string> = []
    const note = (name: string) => (now: number) => void fired.push(`${name}@${now}`)
    sim.at(5, note("b"))
    sim.at(5, note("c"))
    sim.at(1, note("a"))
    const moved = sim.at(2, note("moved"))
    moved.set(9)
    const earlier = sim.at(20, note("earlier"))
    earlier.set(3)
    const cleared = sim.at(4, note("cleared"))
    cleared.clear()
    sim.run(6)
    assert.strictEqual(sim.now, 6)
    sim.run()
    assert.deepStrictEqual(fired, ["a@1", "earlier@3", "b@5", "c@5", "moved@9"])
  })

  it("come out sorted, whatever is set, moved and cleared", () => {
    const sim = new Simulator({ seed: 3 })
    const fired: Array<number> = []
    const timers = Array.from({ length: 500 }, () => sim.timer((now) => void fired.push(now)))
    for (let i = 0; i < 3000; i++) {
      const timer = timers[sim.random.int(timers.length)]!
      if (sim.random.chance(0.2)) timer.clear()
      else timer.set(sim.random.int(1000))
    }
    const expected = timers.flatMap((timer) => (timer.time === Infinity ? [] : [timer.time])).toSorted((x, y) => x - y)
    sim.run()
    assert.deepStrictEqual(fired, expected)
  })
})

const behindNat = (options: { idle?: number; open?: boolean } = {}) => {
  const lines: Array<string> = []
  const sim = new Simulator({ onTrace: (line) => lines.push(line) })
  const client = sim.addresses.intern("192.168.1.2", 5000)
  const server = sim.addresses.intern("203.0.113.9", 443)
  const stranger = sim.addresses.intern("203.0.113.10", 443)
  const nat = sim.nat({ outside: "198.51.100.1", inside: ["192.168.1.*"], ...options })
  sim.link("192.168.1.2", "203.0.113.9", { delay: 10 })
  const sources: Array<Address> = []
  const replies: Array<number> = []
  sim.attach(server, (burst) => {
    for (let i = 0; i < burst.count; i++) sources.push(burst.remote[i]!)
  })
  sim.attach(client, (burst, now) => {
    assert.strictEqual(burst.local[0], client)
    replies.push(now)
  })
  return { sim, client, server, stranger, nat, sources, replies }
}

describe("SimulatorCore translators (RFC 4787)", () => {
  it("hides the inside address, and lets answers in", () => {
    const { sim, client, server, nat, sources, replies } = behindNat()
    send(sim, client, server, 20)
    sim.run()
    assert.strictEqual(sources[0]!.host, "198.51.100.1")
    assert.strictEqual(nat.mappings[0]![1], sources[0])
    send(sim, server, sources[0]!, 20)
    sim.run()
    assert.deepStrictEqual(replies, [20])
  })

  it("keeps out whom nobody sent to, unless it is open", () => {
    for (const open of [false, true]) {
      const { sim, client, server, stranger, sources, replies } = behindNat({ open })
      send(sim, client, server, 20)
      sim.run()
      send(sim, stranger, sources[0]!, 20)
      send(sim, stranger, sim.addresses.intern("198.51.100.1", 7), 20)
      sim.run()
      assert.lengthOf(replies, open ? 1 : 0)
      assert.strictEqual(sim.unreachable, open ? 1 : 2)
    }
  })

  it("RFC 9000 section 9: a rebinding changes the source, and drops what goes to the old one, in flight too", () => {
    const { sim, client, server, nat, sources, replies } = behindNat()
    send(sim, client, server, 20)
    sim.run()
    const old = sources[0]!
    send(sim, server, old, 20)
    sim.run(sim.now + 5)
    nat.rebind()
    sim.run()
    assert.lengthOf(replies, 0)
    send(sim, server, old, 20)
    sim.run()
    assert.lengthOf(replies, 0)
    assert.strictEqual(sim.unreachable, 2)
    send(sim, client, server, 20)
    sim.run()
    const renewed = sources[1]!
    assert.strictEqual(renewed.host, old.host)
    assert.notStrictEqual(renewed.port, old.port)
    send(sim, server, renewed, 20)
    sim.run()
    assert.lengthOf(replies, 1)
    nat.rebind("198.51.100.77")
    send(sim, client, server, 20)
    sim.run()
    assert.strictEqual(sources[2]!.host, "198.51.100.77")
  })

  it("forgets a mapping that was idle for too long", () => {
    const { sim, client, server, sources, replies } = behindNat({ idle: 1000 })
    send(sim, client, server, 20)
    sim.run(500)
    send(sim, server, sources[0]!, 20)
    sim.run(2000)
    assert.lengthOf(replies, 1)
    send(sim, server, sources[0]!, 20)
    sim.run(3000)
    assert.lengthOf(replies, 1)
    send(sim, client, server, 20)
    sim.run()
    assert.notStrictEqual(sources[1]!.port, sources[0]!.port)
  })
})
