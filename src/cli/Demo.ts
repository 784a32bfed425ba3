/**
 * `mpquic demo`: a file crosses two networks at once, one of them is cut, and the file arrives whole. Server and client are
 * processes of their own; this one is the networks between them, and tells what happens.
 */
import { Effect, Exit, Path } from "effect"
import { NetAddress } from "effect/net"
import type { Scope } from "effect"
import { Command, Flag } from "effect/cli"
import * as UdpRelay from "../testing/UdpRelay.ts"
import * as UdpSocket from "../UdpSocket.ts"
import { conclude } from "./Conclude.ts"
import type { Conclusion } from "./Conclude.ts"
import { spawn } from "./DemoMessages.ts"
import type { Message, Peer } from "./DemoMessages.ts"
import { exitCodeHelp, fail, fromQuic } from "./Failure.ts"
import type { CliFailure } from "./Failure.ts"
import { madeUp, temporaryDirectory, writeWhole } from "./Files.ts"
import { congestion, json, scheduler, sizeFlag } from "./Options.ts"
import { show, silent } from "./Progress.ts"
import type { Display, Sample } from "./Progress.ts"
import { formatBytes, mbps } from "./Result.ts"
import type { PathReport } from "./Result.ts"

/** The two networks: one way each, both ways alike. */
const links = [
  { mbps: 40, delay: 10, queue: 100 },
  { mbps: 20, delay: 30, queue: 100 }
] as const

/** The path that is cut: the faster one. */
const CUT_PATH = 0

/** ms between looks at how far the transfer is. */
const WATCH = 5

const flags = {
  size: sizeFlag("size", { minimum: "1MB", maximum: "10GB" }).pipe(
    Flag.withDefault(30_000_000),
    Flag.withMetavar("SIZE"),
    Flag.withDescription("Size of the file, 1MB to 10GB. Default: 30MB")
  ),
  noCut: Flag.Boolean("no-cut").pipe(
    Flag.withDefault(false),
    Flag.withoutNegation,
    Flag.withDescription("Leave both networks up")
  ),
  scheduler,
  congestion,
  json
}

type Input = Command.Command.Config.Infer<typeof flags>

/** Seconds that the whole may take: 25 for 30 MB, more for more. */
const timeLimit = (size: number): number => Math.max(25, size / 1.2e6)

/** Waits for one kind of message and passes the others over. */
const expect = <Tag extends Message["type"]>(
  peer: Peer,
  tag: Tag,
  onOther: (message: Message) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<Extract<Message, { readonly type: Tag }>, CliFailure> => {
  const isWanted = (message: Message): message is Extract<Message, { readonly type: Tag }> => message.type === tag
  const next: Effect.Effect<Extract<Message, { readonly type: Tag }>, CliFailure> = Effect.flatMap(
    peer.next,
    (message) => (isWanted(message) ? Effect.succeed(message) : Effect.andThen(onOther(message), next))
  )
  return next
}

/** Where the second path is at home: 127.0.0.2, or, where that is no address (macOS), another port of 127.0.0.1. */
const secondHost = Effect.gen(function* () {
  const udp = yield* UdpSocket.UdpSocket
  const bound = yield* Effect.exit(Effect.scoped(udp.bind({ host: "127.0.0.2", port: 0 })))
  return Exit.isSuccess(bound) ? "127.0.0.2" : undefined
})

/** The two networks between the client and the server at a port of 127.0.0.1. */
const makeRelays = (
  port: number,
  hosts: ReadonlyArray<string | undefined>
): Effect.Effect<ReadonlyArray<UdpRelay.UdpRelay>, CliFailure, UdpSocket.UdpSocket | Scope.Scope> =>
  Effect.forEach(links, (link, index) =>
    UdpRelay.make({
      listen: { host: hosts[index] ?? "127.0.0.1", port: 0 },
      target: { host: "127.0.0.1", port },
      seed: 1 + index,
      ...link
    })
  ).pipe(Effect.mapError(fromQuic))

const describeLinks = (display: Display, hosts: ReadonlyArray<string | undefined>): Effect.Effect<void> =>
  Effect.forEach(
    links,
    (link, index) =>
      display.note(
        `  path ${index}: from ${hosts[index] ?? "another port of 127.0.0.1, because 127.0.0.2 cannot be bound here,"} through ${link.mbps} Mbit/s, ${link.delay} ms each way`
      ),
    { discard: true }
  )

/** Bytes that the networks have brought to the client. */
const delivered = (relays: ReadonlyArray<UdpRelay.UdpRelay>): number =>
  relays.reduce((sum, relay) => sum + relay.stats.backward.deliveredBytes, 0)

/** Waits until half of the file is across, and cuts the faster network. */
const cutHalfway = Effect.fnUntraced(function* (
  relays: ReadonlyArray<UdpRelay.UdpRelay>,
  size: number,
  client: Peer,
  display: Display
) {
  while (delivered(relays) < size / 2) yield* Effect.sleep(WATCH)
  relays[CUT_PATH]!.cut()
  yield* client.tell({ type: "Cut" })
  const across = relays[CUT_PATH]!.stats.backward.deliveredBytes
  yield* display.note(
    `  path ${CUT_PATH} is cut now, both ways: it carried ${formatBytes(across)} of ${formatBytes(delivered(relays))} so far`
  )
})

/** The client's figures, with loss and RTT as the server, who sent the data, knows them. */
const withSender = (client: ReadonlyArray<PathReport>, server: ReadonlyArray<PathReport>): ReadonlyArray<PathReport> =>
  client.map((path) => {
    const sender = server.find((other) => other.id === path.id)
    return sender === undefined
      ? path
      : {
          ...path,
          packetsSent: sender.packetsSent,
          packetsLost: sender.packetsLost,
          smoothedRttMs: sender.smoothedRttMs
        }
  })

const judge = (
  input: Input,
  expected: string,
  cut: boolean,
  done: Extract<Message, { readonly type: "Done" }>,
  paths: ReadonlyArray<PathReport>
): Conclusion => {
  const sha256Match = done.sha256 === expected
  const used = paths.filter((path) => path.bytesReceived > 0 && path.share > 0.01).length
  const problems = [
    ...(sha256Match && done.bytes === input.size ? [] : ["the file that arrived is not the file that was sent"]),
    ...(used === links.length ? [] : [`${used} of ${links.length} paths carried data`]),
    ...(input.noCut || cut ? [] : ["the transfer was over before the cut"])
  ]
  const failure = problems.length === 0 ? undefined : fail("failed", problems.join("; "))
  return {
    report: {
      ok: failure === undefined,
      sha256Match,
      bytes: done.bytes,
      seconds: done.seconds,
      goodputMbps: mbps(done.bytes, done.seconds),
      stallMs: done.stallMs,
      cutPath: cut ? CUT_PATH : undefined,
      lossOf: "data",
      paths,
      error: failure?.message
    },
    failure
  }
}

const run = Effect.fnUntraced(function* (input: Input) {
  const paths = yield* Path.Path
  const policies = { scheduler: input.scheduler, congestion: input.congestion }
  let latest: Omit<Sample, "time"> | undefined
  const display = input.json ? silent : yield* show({ total: input.size, read: () => latest })

  // Two processes start while the file is made.
  const server = yield* spawn("server")
  const client = yield* spawn("client")
  const directory = yield* temporaryDirectory
  yield* display.note(
    `a file of ${formatBytes(input.size)}, from a server to a client in another process, over two paths:`
  )
  const source = paths.join(directory, "demo.bin")
  const { sha256 } = yield* writeWhole(source, madeUp(input.size))
  yield* expect(server, "Ready")
  yield* server.tell({ type: "Serve", root: directory, ...policies })
  const { pin, port } = yield* expect(server, "Listening")

  const hosts = ["127.0.0.1", yield* secondHost]
  const relays = yield* makeRelays(port, hosts)
  yield* describeLinks(display, hosts)
  yield* expect(client, "Ready")
  yield* client.tell({
    type: "Get",
    path: "/demo.bin",
    file: paths.join(directory, "arrived.bin"),
    paths: relays.map(({ address }, index) => ({
      local: hosts[index],
      remote: { host: NetAddress.formatHost(address), port: address.port }
    })),
    pin,
    ...policies
  })
  let cut = false
  if (!input.noCut)
    yield* cutHalfway(relays, input.size, client, display).pipe(
      Effect.andThen(
        Effect.sync(() => {
          cut = true
        })
      ),
      Effect.forkScoped
    )
  const done = yield* expect(client, "Done", (message) => {
    if (message.type === "Progress") latest = message
    return message.type === "Trouble" ? display.note(`  ${message.message}`) : Effect.void
  })
  latest = done
  yield* display.finish
  yield* server.tell({ type: "Report" })
  const sent = yield* expect(server, "Report")
  return judge(input, sha256, cut, done, withSender(done.paths, sent.paths))
})

const limited = (input: Input) =>
  run(input).pipe(
    Effect.scoped,
    Effect.provide(UdpSocket.layer),
    Effect.timeoutOrElse({
      duration: timeLimit(input.size) * 1000,
      orElse: () => Effect.fail(fail("failed", `not done after ${timeLimit(input.size).toFixed(0)} s`))
    })
  )

export const demo = Command.make("demo", flags, (input) =>
  conclude(limited(input), { json: input.json, interrupted: "its temporary files are removed" })
).pipe(
  Command.withShortDescription("Watch a file cross two paths, one of which is cut midway"),
  Command.withDescription(
    `A server and a client, each in a process of its own, send a file over two paths of real UDP on this machine: 40 Mbit/s with 10 ms each way, and 20 Mbit/s with 30 ms. When half of it is across, the faster path goes silent; the file arrives whole over the other.

The last line is JSON; "ok" says whether all of this held. Loss and RTT are those of the server, which sends the data.

${exitCodeHelp}`
  )
)
