/**
 * What datagrams of a stranger cost an endpoint: the second table of SECURITY.md. Run it with
 * `node --expose-gc scripts/datagram-cost.ts`, several times or on a quiet machine. Times are wall clock, the median of batches;
 * memory is what stays on the heap. What tests check instead is counted work and bytes.
 */
import { writePathChallenge, writePing } from "../src/internal/wire/FrameWriter.ts"
import type { Address, DatagramBurst } from "../src/internal/wire/Datagram.ts"
import { make as seededBytes } from "../src/testing/SeededRandom.ts"
import { capture, forge, frames } from "../test/support/Hostile.ts"
import { Pair } from "../test/support/Machines.ts"
import type { Connection } from "../src/internal/connection/Connection.ts"

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const BATCHES = 31
const PER_BATCH = 64

const random = seededBytes(7)
const bytesOf = (length: number, head: ReadonlyArray<number>): Uint8Array => {
  const bytes = random(length).slice()
  bytes.set(head)
  return bytes
}

/** A server with one client, and the memory that the simulator never sees. */
const established = (): Pair => {
  const pair = new Pair({ server: { maxHandshakes: 100_000, maxConnections: 100_000 } })
  while (!pair.connection.confirmed || pair.server.accepted[0]?.confirmed !== true) pair.run(pair.simulator.now + 1)
  pair.run(pair.simulator.now + 300)
  return pair
}

const burstOf = (pair: Pair, datagrams: ReadonlyArray<Uint8Array>, from: (i: number) => Address): DatagramBurst => {
  const slab = new Uint8Array(Buffer.concat(datagrams))
  const offset = new Int32Array(datagrams.length)
  let at = 0
  datagrams.forEach(({ length }, i) => {
    offset[i] = at
    at += length
  })
  return {
    slab,
    count: datagrams.length,
    offset,
    length: Int32Array.from(datagrams, ({ length }) => length),
    ecn: new Uint8Array(datagrams.length),
    local: datagrams.map(() => pair.server.addresses[0]!),
    remote: datagrams.map((_, i) => from(i))
  }
}

const sink = { slab: new Uint8Array(131_072), send: () => true, isFull: () => false, room: 0 }

/** First datagrams of clients that never hear anything. */
const flights = (count: number): ReadonlyArray<Uint8Array> => {
  const pair = new Pair({ seed: 99 })
  const sent = capture(pair.client)
  const inner = pair.client.tap!
  pair.client.tap = (...datagram) => inner(...datagram) && false
  for (let i = 1; i < count; i++) pair.client.connect(pair.server)
  pair.run(1)
  return sent.map(({ bytes }) => bytes)
}

interface Kind {
  readonly name: string
  readonly make: (pair: Pair, connection: Connection) => Uint8Array
  readonly own?: boolean
}

const first = flights(BATCHES * PER_BATCH + PER_BATCH)
let next = 0
const flight = (): Uint8Array => first[next++ % first.length]!.slice()

const kinds: ReadonlyArray<Kind> = [
  { name: "junk with a short header, 1,200 bytes", make: () => bytesOf(1200, [0x41]) },
  { name: "junk with a short header, 43 bytes", make: () => bytesOf(43, [0x41]) },
  { name: "unknown version", make: () => bytesOf(1200, [0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]) },
  { name: "Initial below 1,200 bytes", make: () => flight().subarray(0, 1199) },
  {
    name: "Initial that does not open",
    make: () => {
      const bytes = flight()
      bytes[700]! ^= 1
      return bytes
    }
  },
  { name: "Initial with a usual ClientHello, answered", make: flight },
  {
    name: "short packet for a connection, forged",
    make: (_, connection) => {
      const bytes = forge(connection, frames(writePing), 0)
      bytes[bytes.length - 1]! ^= 1
      return bytes
    }
  },
  {
    name: "packet of a client, copied from elsewhere",
    make: (pair, connection) => forge(connection, frames(writePing), pair.simulator.now)
  },
  {
    name: "100 challenges under the keys of a client, from elsewhere",
    make: (pair, connection) =>
      forge(
        connection,
        frames((w) => {
          for (let i = 0; i < 100; i++) writePathChallenge(w, new Uint8Array(8).fill(i))
        }),
        pair.simulator.now
      )
  }
]

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

print("| datagram | µs | answer, bytes |\n| --- | ---: | ---: |")
for (const { name, make } of kinds) {
  const pair = established()
  const { endpoint } = pair.server
  let port = 1000
  const from = () => pair.simulator.addresses.intern("192.0.2.9", port++ % 60_000)
  const times: Array<number> = []
  let bytes = 0
  const send = (transmit: { readonly bytes: Uint8Array }): boolean => {
    bytes += transmit.bytes.length
    return true
  }
  let now = pair.simulator.now
  for (let batch = 0; batch < BATCHES; batch++) {
    const datagrams = Array.from({ length: PER_BATCH }, () => make(pair, pair.connection))
    const burst = burstOf(pair, datagrams, from)
    now += 1000
    const start = process.hrtime.bigint()
    endpoint.receive(burst, now)
    endpoint.poll(now, { ...sink, send })
    times.push(Number(process.hrtime.bigint() - start) / 1000 / PER_BATCH)
  }
  print(`| ${name} | ${median(times).toFixed(1)} | ${(bytes / BATCHES / PER_BATCH).toFixed(0)} |`)
}

const used = (): number => {
  globalThis.gc!()
  globalThis.gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Bytes that each half-open connection keeps. */
const kept = (count: number): number => {
  const pair = established()
  const initials = flights(count)
  let port = 1000
  const from = () => pair.simulator.addresses.intern("192.0.2.9", port++)
  // The simulator's own list of what was accepted is counted with it.
  const before = used()
  for (let at = 0; at < count; at += PER_BATCH) {
    const datagrams = initials.slice(at, at + PER_BATCH)
    pair.server.endpoint.receive(burstOf(pair, datagrams, from), pair.simulator.now)
    pair.server.endpoint.poll(pair.simulator.now, sink)
  }
  const bytes = (used() - before) / count
  if (pair.server.endpoint.stats().connections < count) throw new Error("connections are missing")
  return bytes
}
kept(200)
print(`\nhalf-open connection: ${(kept(2000) / 1000).toFixed(1)} kB`)
