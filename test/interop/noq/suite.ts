/** noq: the multipath peer. It is built from its crates on first use, which takes some minutes. */
import { Effect, Schedule } from "effect"
import type { Scope } from "effect"
import { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs"
import { join } from "node:path"
import type { Connection } from "../../../src/Connection.ts"
import type * as UdpRelay from "../../../src/testing/UdpRelay.ts"
import type { Credentials } from "../support/credentials.ts"
import * as Ours from "../support/ours.ts"
import { run, start } from "../support/peer.ts"
import type { Peer } from "../support/peer.ts"
import { linkCases, relay } from "../support/links.ts"
import { expect, same } from "../support/runner.ts"
import type { Case, Suite } from "../support/runner.ts"
import {
  clientCases,
  keyCases,
  listening,
  refusalCases,
  resumesOurs,
  resumesTheirs,
  retryCases,
  serverCases,
  streamCases
} from "../support/standard.ts"
import type { Program } from "../support/standard.ts"

const MB = 1024 * 1024

const multipath = { multipath: { maxPaths: 4 } }

/** Two links that differ, so that both carry something and neither is enough. */
const fast: UdpRelay.DuplexOptions = { mbps: 80, delay: 5, queue: 200 }
const slow: UdpRelay.DuplexOptions = { mbps: 40, delay: 10, queue: 200 }

/** Both lose 1 %, and each is late in its own way. */
const lossy: ReadonlyArray<UdpRelay.DuplexOptions> = [
  { ...fast, loss: 0.01, jitter: 3 },
  { ...slow, loss: 0.01, reorder: 0.02 }
]

/** More paths, one after the other, than IDs were allowed at first (MAX_PATH_ID has to follow). */
const MANY = 12

/** Gives noq a command and waits until it is done. */
const command = (peer: Peer, line: string) =>
  Effect.gen(function* () {
    peer.tell(line)
    const done = yield* peer.event(line)
    yield* expect(done["ok"] !== false, `${line}: ${JSON.stringify(done)}`)
    return done
  })

/** noq refuses while it has none of our connection IDs for the path: they come with our first packets after the handshake. */
const open = (peer: Peer, port: number, id: number) =>
  Effect.gen(function* () {
    let attempts = 0
    yield* Effect.suspend(() => command(peer, `open${" ".repeat(id * 100 + ++attempts)}127.0.0.1:${port}`)).pipe(
      Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 20 })
    )
    yield* peer.event(`established ${id}`)
  })

interface PathFigures {
  readonly id: number
  readonly sent: number
  readonly received: number
}

/** Each path carried at least this share of the bytes. */
const shared = (paths: ReadonlyArray<PathFigures>, field: "sent" | "received", least: number) =>
  Effect.gen(function* () {
    const total = paths.reduce((sum, path) => sum + path[field], 0)
    const shares = paths.map((path) => `path ${path.id}: ${Math.round((100 * path[field]) / total)} %`).join(", ")
    yield* expect(
      paths.length === 2 && paths.every((path) => path[field] >= total * least),
      `${field} over two paths: ${shares}`
    )
    return shares
  })

const ourFigures = (connection: Connection): ReadonlyArray<PathFigures> =>
  connection.stats.paths.map((path) => ({ id: path.pathId, sent: path.bytesSent, received: path.bytesReceived }))

/** noq acknowledges all paths on the lowest one: of its death it must notice by itself. */
const NOTICES_DEATH = { PATH_IDLE: "500" }

const cutAfter = (link: UdpRelay.UdpRelay) =>
  Effect.andThen(
    Effect.sleep("400 millis"),
    Effect.sync(() => link.cut())
  )

const eventually = (condition: () => boolean, what: string) =>
  Effect.suspend(() => expect(condition(), what)).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 150 })
  )

export const suite = (cache: string, credentials: Credentials): Suite => {
  const source = import.meta.dirname
  const folder = join(cache, "noq-program")
  const target = join(cache, "noq")
  const program = join(target, "release/interop-noq")
  const client = (port: number, verb: string, args: ReadonlyArray<string | number>, env: Record<string, string> = {}) =>
    start(program, ["client", credentials.authority, `${port}`, verb, ...args.map(String)], env)
  const server = (
    options: { readonly idle?: number; readonly retry?: boolean } = {},
    env: Record<string, string> = {}
  ) =>
    start(program, ["server", credentials.certificate, credentials.privateKey, `${options.idle ?? 30_000}`], {
      RETRY: options.retry === true ? "1" : "0",
      ...env
    })
  const single: Program = { client: (port, verb, ...args) => client(port, verb, args), server }

  /** noq as the client, with its second path open; each path goes through a relay of its own to an address of our server. */
  const twoPathClient = Effect.fnUntraced(function* (
    env: Record<string, string> = {},
    links: ReadonlyArray<UdpRelay.DuplexOptions> = [fast, slow]
  ) {
    const ours = yield* Ours.serve({ credentials, ...multipath })
    const relays = [yield* relay(ours.port, links[0]!), yield* relay(ours.port, links[1]!)] as const
    const peer = yield* client(relays[0].address.port, "control", [], { MULTIPATH: "1", ...env })
    const connection = yield* Effect.raceFirst(ours.next, Effect.andThen(peer.event("closed"), Effect.never))
    yield* same((yield* peer.event("session"))["multipath"], true, "multipath negotiated, says noq")
    yield* same(connection.multipath, true, "multipath negotiated")
    yield* open(peer, relays[1].address.port, 1)
    yield* eventually(() => connection.path(1)?.state === "active", "path 1 is active on our side")
    return { peer, connection, relays }
  })

  /** noq as the server, our client with its second path open. */
  const twoPathServer = Effect.fnUntraced(function* (
    env: Record<string, string> = {},
    links: ReadonlyArray<UdpRelay.DuplexOptions> = [fast, slow]
  ) {
    const { peer, port } = yield* listening(server({}, { MULTIPATH: "1", ...env }))
    const relays = [yield* relay(port, links[0]!), yield* relay(port, links[1]!)] as const
    const connection = yield* Ours.connect({ credentials, port: relays[0].address.port, ...multipath })
    yield* same(connection.multipath, true, "multipath negotiated")
    const path = yield* connection.openPath({ remote: `127.0.0.1:${relays[1].address.port}` })
    yield* path.validated
    yield* peer.event("established 1")
    return { peer, connection, path, relays }
  })

  const withClient = (
    name: string,
    action: (
      world: Effect.Success<ReturnType<typeof twoPathClient>>
    ) => Effect.Effect<string | void, unknown, Scope.Scope>,
    env?: Record<string, string>,
    links?: Parameters<typeof twoPathClient>[1]
  ): Case => ({ name: `client with two paths, ${name}`, run: Effect.flatMap(twoPathClient(env, links), action) })

  const withServer = (
    name: string,
    action: (
      world: Effect.Success<ReturnType<typeof twoPathServer>>
    ) => Effect.Effect<string | void, unknown, Scope.Scope>,
    env?: Record<string, string>,
    links?: Parameters<typeof twoPathServer>[1]
  ): Case => ({ name: `server with two paths, ${name}`, run: Effect.flatMap(twoPathServer(env, links), action) })

  const multipathCases: ReadonlyArray<Case> = [
    withClient("receives 10 MB over both", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, `get ${10 * MB}`)
        return yield* shared(ourFigures(connection), "sent", 0.15)
      })
    ),
    withClient("sends 10 MB over both", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, `put ${10 * MB}`)
        return yield* shared(ourFigures(connection), "received", 0.15)
      })
    ),
    withClient("closes its second path", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, `put ${MB}`)
        yield* command(peer, "close 1")
        yield* peer.event("discarded 1")
        yield* eventually(() => connection.paths.length === 1, "path 1 is gone on our side")
        yield* command(peer, `get ${MB}`)
      })
    ),
    withClient("closes its first path and opens a third", ({ connection, peer, relays }) =>
      Effect.gen(function* () {
        yield* command(peer, "close 0")
        yield* peer.event("discarded 0")
        yield* command(peer, `open 127.0.0.1:${relays[0].address.port}`)
        yield* peer.event("established 2")
        yield* command(peer, `get ${2 * MB}`)
        yield* eventually(
          () => connection.paths.map((path) => path.id).join() === "1,2",
          "paths 1 and 2 are open on our side"
        )
      })
    ),
    withClient("we close its second path", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* connection.path(1)!.close()
        const told = yield* peer.event("abandoned 1")
        yield* peer.event("discarded 1")
        yield* command(peer, `get ${MB}`)
        return String(told["why"])
      })
    ),
    withClient("status of its second path", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, "status 1 backup")
        yield* eventually(() => connection.path(1)?.remoteStatus === "backup", "the status arrived here")
        yield* connection.path(1)!.setStatus("backup")
        yield* peer.event("status 1 Backup")
        const before = connection.path(1)!.stats.streamBytesSent
        yield* command(peer, `get ${2 * MB}`)
        yield* same(connection.path(1)!.stats.streamBytesSent, before, "stream bytes on a backup path")
        yield* command(peer, "status 1 available")
        yield* eventually(() => connection.path(1)?.remoteStatus === "available", "the second status arrived here")
      })
    ),
    withClient("keys change on both paths", ({ connection, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, `put ${MB}`)
        yield* command(peer, "keys")
        yield* command(peer, `put ${2 * MB}`)
        yield* Ours.updateKeys(connection)
        yield* command(peer, `get ${2 * MB}`)
        yield* expect(connection.stats.keyUpdates >= 2, `${connection.stats.keyUpdates} key updates`)
      })
    ),
    withServer("sends 10 MB over both", ({ connection }) =>
      Effect.andThen(
        Ours.get(connection, 10 * MB),
        Effect.suspend(() => shared(ourFigures(connection), "received", 0.15))
      )
    ),
    withServer("receives 10 MB over both", ({ connection }) =>
      Effect.andThen(
        Ours.put(connection, 10 * MB),
        Effect.suspend(() => shared(ourFigures(connection), "sent", 0.15))
      )
    ),
    withServer("we close the second path", ({ connection, path, peer }) =>
      Effect.gen(function* () {
        yield* Ours.get(connection, MB)
        yield* path.close()
        const told = yield* peer.event("abandoned 1")
        yield* peer.event("discarded 1")
        yield* eventually(() => path.state === "closed", "the path is closed here")
        yield* Ours.put(connection, MB)
        return String(told["why"])
      })
    ),
    withServer("we close the first path and open a third", ({ connection, peer, relays }) =>
      Effect.gen(function* () {
        yield* connection.path(0)!.close()
        yield* peer.event("discarded 0")
        const third = yield* connection.openPath({ remote: `127.0.0.1:${relays[0].address.port}` })
        yield* third.validated
        yield* same(third.id, 2, "its ID")
        yield* Ours.put(connection, 2 * MB)
        yield* Ours.get(connection, 2 * MB)
      })
    ),
    withServer("it closes the second path", ({ connection, path, peer }) =>
      Effect.gen(function* () {
        yield* command(peer, "close 1")
        yield* eventually(() => path.state === "closed", "the path is closed here")
        yield* Ours.put(connection, MB)
      })
    ),
    withServer("the status of paths, both ways", ({ connection, path, peer }) =>
      Effect.gen(function* () {
        yield* path.setStatus("backup")
        yield* peer.event("status 1 Backup")
        yield* command(peer, "status 1 backup")
        yield* eventually(() => path.remoteStatus === "backup", "the status arrived here")
        yield* Ours.put(connection, MB)
      })
    ),
    withClient(
      "receives and sends 2 MB, 1 % lost on both",
      ({ connection, peer }) =>
        Effect.gen(function* () {
          yield* command(peer, `get ${2 * MB}`)
          yield* command(peer, `put ${2 * MB}`)
          return yield* shared(ourFigures(connection), "sent", 0.1)
        }),
      {},
      lossy
    ),
    withServer(
      "sends and receives 2 MB, 1 % lost on both",
      ({ connection }) =>
        Effect.gen(function* () {
          yield* Ours.get(connection, 2 * MB)
          yield* Ours.put(connection, 2 * MB)
          return yield* shared(ourFigures(connection), "sent", 0.1)
        }),
      {},
      lossy
    ),
    withClient("the port of its second path changes", ({ connection, peer, relays }) =>
      Effect.gen(function* () {
        const path = connection.path(1)!
        const before = path.remote.port
        yield* command(peer, `put ${MB}`)
        yield* relays[1].rebind
        yield* command(peer, `put ${2 * MB}`)
        yield* expect(path.remote.port !== before, `path 1 still goes to port ${before}`)
        yield* command(peer, `get ${2 * MB}`)
        yield* same(path.state, "active", "its state")
      })
    ),
    withServer("the port of our second path changes", ({ connection, path, relays }) =>
      Effect.gen(function* () {
        yield* Ours.put(connection, MB)
        yield* relays[1].rebind
        yield* Ours.put(connection, 2 * MB)
        const before = path.stats.bytesReceived
        yield* Ours.get(connection, 2 * MB)
        const received = path.stats.bytesReceived - before
        yield* expect(received > 0.1 * MB, `${received} bytes over path 1 after the move`)
      })
    ),
    withClient(`opens and closes ${MANY} paths`, ({ peer, relays }) =>
      Effect.gen(function* () {
        for (let id = 1; id <= MANY; id++) {
          if (id > 1) {
            yield* open(peer, relays[1].address.port, id)
          }
          yield* command(peer, `put ${100_000 + id}`)
          yield* command(peer, `close ${id}`)
          yield* peer.event(`discarded ${id}`)
        }
        yield* command(peer, `get ${MB}`)
      })
    ),
    withServer(`we open and close ${MANY} paths`, ({ connection, path, peer, relays }) =>
      Effect.gen(function* () {
        let current = path
        for (let id = 1; id <= MANY; id++) {
          if (id > 1) {
            current = yield* connection.openPath({ remote: `127.0.0.1:${relays[1].address.port}` })
            yield* current.validated
          }
          yield* same(current.id, id, "its ID")
          yield* Ours.put(connection, 100_000)
          yield* current.close()
          yield* peer.event(`discarded ${id}`)
          yield* eventually(() => current.state === "closed", `path ${id} is closed here`)
        }
        yield* Ours.get(connection, MB)
      })
    ),
    withServer("datagrams on a path of our choice", ({ connection, peer }) =>
      Effect.gen(function* () {
        const before = connection.path(1)!.stats.packetsSent
        for (let i = 0; i < 20; i++) yield* connection.sendDatagram(new Uint8Array(500), { pathId: 1 })
        yield* Ours.get(connection, 1000)
        const sent = connection.path(1)!.stats.packetsSent - before
        yield* expect(sent >= 10, `${sent} packets left on path 1`)
        return `${peer.events.length} events`
      })
    ),
    withClient(
      "its backup path takes over when the other dies",
      ({ connection, peer, relays }) =>
        Effect.gen(function* () {
          yield* command(peer, "status 1 backup")
          yield* connection.path(1)!.setStatus("backup")
          yield* Effect.all([command(peer, `get ${5 * MB}`), cutAfter(relays[0])], { concurrency: 2 })
          yield* command(peer, `put ${MB}`)
        }),
      NOTICES_DEATH
    ),
    withServer(
      "the path that carries most dies while we send",
      ({ connection, relays }) =>
        Effect.gen(function* () {
          yield* Effect.all([Ours.put(connection, 10 * MB), cutAfter(relays[0])], { concurrency: 2 })
          return connection.paths.map((path) => `path ${path.id}: ${path.state}`).join(", ")
        }),
      NOTICES_DEATH
    ),
    withServer(
      "the path that carries most dies while it sends",
      ({ connection, relays }) =>
        Effect.asVoid(Effect.all([Ours.get(connection, 10 * MB), cutAfter(relays[0])], { concurrency: 2 })),
      NOTICES_DEATH
    ),
    withServer(
      "the path with all acknowledgements dies while we send, and it does not notice",
      ({ connection, relays }) =>
        Effect.gen(function* () {
          yield* Effect.all([Ours.put(connection, 10 * MB), cutAfter(relays[0])], { concurrency: 2 })
          return connection.paths.map((path) => `path ${path.id}: ${path.state}`).join(", ")
        })
    ),
    withClient("the path with all acknowledgements dies while we send, and it does not notice", ({ peer, relays }) =>
      Effect.asVoid(Effect.all([command(peer, `get ${10 * MB}`), cutAfter(relays[0])], { concurrency: 2 }))
    ),
    withClient(
      "the path that carries most dies while we send",
      ({ peer, relays }) =>
        Effect.asVoid(Effect.all([command(peer, `get ${10 * MB}`), cutAfter(relays[0])], { concurrency: 2 })),
      NOTICES_DEATH
    ),
    withClient(
      "the path that carries most dies while it sends",
      ({ peer, relays }) =>
        Effect.asVoid(Effect.all([command(peer, `put ${10 * MB}`), cutAfter(relays[0])], { concurrency: 2 })),
      NOTICES_DEATH
    )
  ]

  const addresses = { MULTIPATH: "1", ADDRESSES: "4", OBSERVED: "both" }
  const listed = (connection: Connection) => connection.remoteAddresses.current.map(String).join()

  const addressCases: ReadonlyArray<Case> = [
    {
      name: "server that advertises addresses: we open a path there, and it takes them back",
      run: Effect.gen(function* () {
        const { peer, port } = yield* listening(server({}, addresses))
        const further = yield* relay(port, fast)
        const connection = yield* Ours.connect({ credentials, port, ...multipath })
        yield* command(peer, `advertise 127.0.0.1:${further.address.port}`)
        yield* command(peer, "advertise 203.0.113.7:4433")
        yield* command(peer, "advertise [2001:db8::7]:443")
        yield* eventually(() => connection.remoteAddresses.current.length === 3, "three addresses arrived")
        yield* expect(/2001:db8::7/.test(listed(connection)), listed(connection))
        const remote = connection.remoteAddresses.current.find((each) => each.port === further.address.port)
        const path = yield* connection.openPath({ remote })
        yield* path.validated
        yield* Ours.put(connection, MB)
        yield* command(peer, "withdraw 203.0.113.7:4433")
        yield* command(peer, `withdraw 127.0.0.1:${further.address.port}`)
        yield* eventually(() => connection.remoteAddresses.current.length === 1, "two addresses are gone")
        yield* same(path.state, "active", "the path to one of them")
        yield* Ours.get(connection, MB)
        return listed(connection)
      })
    },
    {
      name: "server that advertises more addresses than we keep: the rest is dropped",
      run: Effect.gen(function* () {
        const { peer, port } = yield* listening(server({}, addresses))
        const connection = yield* Ours.connect({ credentials, port, multipath: { maxPaths: 4, maxAdvertised: 2 } })
        yield* command(peer, "advertise 203.0.113.1:1")
        yield* command(peer, "advertise 203.0.113.2:2")
        peer.tell("advertise 203.0.113.3:3")
        yield* same((yield* peer.event("advertise 203.0.113.3:3"))["ok"], false, "noq knows our limit")
        yield* eventually(() => connection.remoteAddresses.current.length === 2, "two addresses arrived")
        yield* Ours.put(connection, MB)
      })
    },
    {
      name: "server that advertises, without our consent: it cannot",
      run: Effect.gen(function* () {
        const { peer, port } = yield* listening(server({}, addresses))
        const connection = yield* Ours.connect({ credentials, port, multipath: { maxPaths: 4, maxAdvertised: 0 } })
        peer.tell("advertise 203.0.113.1:1")
        yield* same((yield* peer.event("advertise 203.0.113.1:1"))["ok"], false, "not negotiated")
        yield* Ours.put(connection, MB)
        yield* same(connection.remoteAddresses.current.length, 0, "addresses")
      })
    },
    {
      name: "client that we advertise addresses to: it opens a path there, and we take them back",
      run: Effect.gen(function* () {
        const ours = yield* Ours.serve({
          credentials,
          multipath: { maxPaths: 4, advertise: ["203.0.113.7:4433", "2001:db8::7"] }
        })
        const further = yield* relay(ours.port, fast)
        const peer = yield* client(ours.port, "control", [], addresses)
        const connection = yield* ours.next
        yield* peer.event("advertised 203.0.113.7:4433")
        yield* peer.event(`advertised [2001:db8::7]:${ours.port}`)
        yield* connection.advertise(`127.0.0.1:${further.address.port}`)
        yield* peer.event(`advertised 127.0.0.1:${further.address.port}`)
        yield* open(peer, further.address.port, 1)
        yield* command(peer, `put ${MB}`)
        yield* connection.withdraw("203.0.113.7:4433")
        yield* connection.withdraw(`127.0.0.1:${further.address.port}`)
        yield* peer.event("withdrawn 203.0.113.7:4433")
        yield* peer.event(`withdrawn 127.0.0.1:${further.address.port}`)
        yield* command(peer, `get ${MB}`)
        yield* same(connection.path(1)?.state, "active", "the path to one of them")
        yield* connection.close()
      })
    },
    {
      name: "server that tells us where it sees us, behind a NAT that moves us",
      run: Effect.gen(function* () {
        const { port } = yield* listening(server({}, { OBSERVED: "both" }))
        const nat = yield* relay(port, fast)
        const connection = yield* Ours.connect({
          credentials,
          port: nat.address.port,
          addressDiscovery: "both",
          ...multipath
        })
        const path = connection.path(0)!
        yield* eventually(() => path.observedAddress !== undefined, "a report arrived")
        yield* Ours.put(connection, MB)
        const before = String(path.observedAddress)
        yield* expect(before !== String(path.local), `${before} is the outside of the NAT`)
        yield* nat.rebind
        yield* Ours.put(connection, MB)
        yield* eventually(() => String(path.observedAddress) !== before, "the address has changed")
        return `${before}, then ${String(path.observedAddress)}`
      })
    },
    {
      name: "client that we tell where we see it, on each path",
      run: Effect.gen(function* () {
        const ours = yield* Ours.serve({ credentials, addressDiscovery: "both", ...multipath })
        const relays = [yield* relay(ours.port, fast), yield* relay(ours.port, fast)] as const
        const peer = yield* client(relays[0].address.port, "control", [], addresses)
        const connection = yield* ours.next
        yield* peer.event(`observed 0 127.0.0.1:${connection.remote.port}`)
        yield* open(peer, relays[1].address.port, 1)
        yield* eventually(() => connection.path(1)?.state === "active", "path 1 is active on our side")
        yield* peer.event(`observed 1 127.0.0.1:${connection.path(1)!.remote.port}`)
        yield* eventually(
          () => [0, 1].every((id) => connection.path(id)?.observedAddress?.port === relays[id]!.address.port),
          "it tells us where it sees us"
        )
      })
    }
  ]

  return {
    name: "noq",
    prepare: Effect.suspend(() => {
      const built = existsSync(program) ? statSync(program).mtimeMs : 0
      const files = ["Cargo.toml", "src/main.rs"]
      if (files.every((file) => statSync(join(source, file)).mtimeMs < built)) return Effect.void
      mkdirSync(join(folder, "src"), { recursive: true })
      // Built from a copy: cargo writes its lock file beside the manifest.
      for (const file of files) copyFileSync(join(source, file), join(folder, file))
      return run("cargo", ["build", "--release", "--quiet", "--target-dir", target], { cwd: folder })
    }),
    cases: [
      ...multipathCases,
      ...addressCases,
      ...clientCases(single, credentials),
      ...serverCases(single, credentials),
      ...retryCases(single, credentials),
      resumesOurs(single, credentials),
      resumesTheirs(single, credentials),
      ...keyCases(single, credentials),
      ...refusalCases(single, credentials),
      ...streamCases(single, credentials),
      ...linkCases(single, credentials, { moves: 2 }),
      {
        name: "client, ChaCha20-Poly1305",
        run: Effect.gen(function* () {
          const ours = yield* Ours.serve({ credentials, suites: ["TLS_CHACHA20_POLY1305_SHA256"] })
          const peer = yield* client(ours.port, "get", [MB], { SUITE: "chacha20" })
          const connection = yield* ours.next
          yield* same((yield* peer.event("done"))["ok"], true, "transfer")
          yield* same(connection.handshake.cipherSuite, "TLS_CHACHA20_POLY1305_SHA256", "cipher suite")
        })
      },
      {
        name: "server, ChaCha20-Poly1305",
        run: Effect.gen(function* () {
          const { port } = yield* listening(server({}, { SUITE: "chacha20" }))
          const connection = yield* Ours.connect({ credentials, port, suites: ["TLS_CHACHA20_POLY1305_SHA256"] })
          yield* Ours.put(connection, MB)
          yield* Ours.get(connection, MB)
        })
      }
    ]
  }
}
