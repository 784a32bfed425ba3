/**
 * What the protocol machine alone costs: two endpoints joined in memory, without sockets and without encryption. CPU time per
 * packet of both ends together is the figure to hold against the budget of a packet.
 *
 *     node bench/machine.ts [--megabytes 600] [--paths 1]
 */
import { parseArgs } from "node:util"
import type { Connection } from "../src/internal/connection/Connection.ts"
import { cubic } from "../src/internal/congestion/Cubic.ts"
import { Endpoint } from "../src/internal/endpoint/Endpoint.ts"
import { lowLatency } from "../src/internal/paths/schedulers/LowLatency.ts"
import { roundRobin } from "../src/internal/paths/schedulers/RoundRobin.ts"
import { insecure } from "../src/internal/tls/certificates/Trust.ts"
import { makeTlsEngine } from "../src/internal/tls/OwnTls.ts"
import { AddressBook, makeDatagramBurst } from "../src/internal/wire/Datagram.ts"
import type { Transmit } from "../src/internal/wire/Datagram.ts"
import type { PacketProtection } from "../src/PacketProtection.ts"
import * as QuicConfig from "../src/QuicConfig.ts"
import { make as seededBytes } from "../src/testing/SeededRandom.ts"
import { identity } from "../src/testing/TestCertificates.ts"

const { values } = parseArgs({
  options: { megabytes: { type: "string", default: "600" }, paths: { type: "string", default: "1" } }
})
const total = Number(values.megabytes) * 1e6
const paths = Number(values.paths)

/** ms that pass between two turns of the ends. */
const TURN = 0.2
const CHUNK = new Uint8Array(65_536).fill(7)

/** Bytes as they are: what is measured is everything else. */
const plain: PacketProtection = {
  name: "plain",
  packetKey: () => ({ seal: () => {}, open: () => true, close: () => {} }),
  headerKey: () => ({ masks: (_bytes, _offsets, count, masks) => void masks.fill(0, 0, 16 * count), close: () => {} })
}

const settings = {
  ...QuicConfig.toSettings(new QuicConfig.QuicConfig({})),
  maxPaths: paths > 1 ? paths : 0,
  initialStreamWindow: 16e6,
  initialConnectionWindow: 24e6,
  maxStreamWindow: 16e6,
  maxConnectionWindow: 24e6,
  streamSendBuffer: 4e6,
  initialMtu: 1452,
  mtuDiscovery: false,
  ecn: false
}

const accepted: Array<Connection> = []
const makeEnd = (server: boolean): Endpoint => {
  const random = seededBytes(server ? 1 : 2)
  return new Endpoint({
    settings,
    tls: makeTlsEngine({ random, verifyServer: insecure(), identity: server ? identity() : undefined }),
    serveAlpn: server ? ["bench"] : [],
    protection: plain,
    policies: { scheduler: paths > 1 ? roundRobin : lowLatency, congestion: cubic },
    random,
    randomNumber: () => 0.5,
    wallTime: () => 1e12,
    maxConnections: 10,
    maxHandshakes: 10,
    retry: "never",
    tokenLifetime: 86_400_000,
    sessionTickets: false,
    onWake: () => {},
    onConnection: (connection) => accepted.push(connection as Connection)
  })
}

/** What one end sends, as the burst that the other one receives. */
const makeWire = () => {
  const burst = makeDatagramBurst(1024, new Uint8Array(2 << 20))
  let used = 0
  const sink = {
    slab: new Uint8Array(131_072),
    send: ({ bytes, segmentSize, local, remote }: Transmit): boolean => {
      burst.slab.set(bytes, used)
      for (let at = 0; at < bytes.length; at += segmentSize) {
        const index = burst.count++
        burst.offset[index] = used + at
        burst.length[index] = Math.min(segmentSize, bytes.length - at)
        burst.local[index] = remote
        burst.remote[index] = local
      }
      used += bytes.length
      return burst.count < 512
    },
    isFull: () => burst.count >= 512,
    room: 0
  }
  const reset = (): void => {
    sink.room++
    burst.count = 0
    used = 0
  }
  return { burst, sink, reset }
}

const book = new AddressBook()
const locals = Array.from({ length: paths }, (_, index) => book.intern(`10.0.${index}.1`, 1))
const remote = book.intern("10.9.0.1", 2)
const client = makeEnd(false)
const server = makeEnd(true)
const up = makeWire()
const down = makeWire()
let now = 0
let packets = 0

const turn = (end: Endpoint, wire: ReturnType<typeof makeWire>, other: Endpoint): void => {
  if (end.nextTimeout() <= now) end.onTimeout(now)
  end.poll(now, wire.sink)
  if (wire.burst.count > 0) other.receive(wire.burst, now)
}

const step = (): void => {
  now += TURN
  turn(client, up, server)
  packets += up.burst.count
  up.reset()
  turn(server, down, client)
  down.reset()
}

const connection = client.connect({ local: locals[0]!, remote, serverName: "localhost", alpn: ["bench"] }, now)
while (!connection.confirmed) step()
for (let index = 1; index < paths; index++) {
  for (let i = 0; i < 20; i++) step()
  if (typeof connection.openPath({ local: locals[index]!, remote }, now) !== "number") throw new Error("no path")
  connection.wake()
}
for (let i = 0; i < 100; i++) step()

const stream = connection.streams.open(true)!
let written = 0
let received = 0
packets = 0
const before = process.cpuUsage()
let incoming: ReturnType<Connection["streams"]["accept"]>
while (received < total) {
  while (written < total && stream.writableBytes > 0) {
    stream.write(CHUNK)
    written += CHUNK.length
  }
  connection.wake()
  step()
  incoming ??= accepted[0]!.streams.accept(true)
  for (let loan = incoming?.lend(); loan !== undefined; loan = incoming?.lend()) {
    received += loan.bytes.length
    loan.giveBack()
  }
  accepted[0]!.wake()
}
const { user, system } = process.cpuUsage(before)
console.log(
  JSON.stringify({
    paths,
    packets,
    acknowledgements: accepted[0]!.stats().packetsSent,
    lost: connection.stats().packetsLost,
    cpuNanosecondsPerPacket: Math.round(((user + system) * 1000) / packets)
  })
)
