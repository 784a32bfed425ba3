/** Cases that every peer takes, with it as client and as server. */
import { Effect } from "effect"
import type { Scope } from "effect"
import type { CloseReason, Connection } from "../../../src/Connection.ts"
import type { Credentials } from "./credentials.ts"
import { SessionStore, Tls } from "../../../src/index.ts"
import * as Ours from "./ours.ts"
import type { Peer } from "./peer.ts"
import { expect, same } from "./runner.ts"
import type { Case } from "./runner.ts"

/** How a peer's program is started. */
export interface Program {
  /** Our settings towards this peer. Default: the defaults. */
  readonly settings?: Partial<Ours.ServerOptions & Ours.ClientOptions> | undefined
  readonly client: (
    port: number,
    verb: string,
    ...args: ReadonlyArray<string | number>
  ) => Effect.Effect<Peer, never, Scope.Scope>
  readonly server: (options?: {
    readonly idle?: number
    readonly retry?: boolean
  }) => Effect.Effect<Peer, never, Scope.Scope>
}

const MB = 1024 * 1024

/** The peer's server, and its port. */
export const listening = (peer: Effect.Effect<Peer, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const started = yield* peer
    return { peer: started, port: Number((yield* started.event("listening"))["port"]) }
  })

const applicationClose = (info: CloseReason) =>
  info._tag === "ApplicationClosed" ? [info.initiator, info.code, info.reason] : info

/** Why a connection of ours ended, when the case did not end it itself. */
const unexpectedEnd = (connection: Connection): Effect.Effect<never, Error> =>
  Effect.flatMap(connection.closed, (info) =>
    Effect.flatMap(Effect.sleep("1 second"), () =>
      Effect.fail(new Error(`the connection ended: ${JSON.stringify(info)}`))
    )
  )

/** The peer is the client: it does something and says whether that went as it must. */
const asClient = (
  program: Program,
  credentials: Credentials,
  name: string,
  verb: string,
  args: ReadonlyArray<string | number>,
  check: (
    connection: Connection,
    done: Readonly<Record<string, unknown>>
  ) => Effect.Effect<string | void, unknown> = () => Effect.void
): Case => ({
  name: `client, ${name}`,
  run: Effect.gen(function* () {
    const server = yield* Ours.serve({ credentials, ...program.settings })
    const peer = yield* program.client(server.port, verb, ...args)
    const connection = yield* Effect.raceFirst(
      server.next,
      Effect.flatMap(peer.event("done"), () => Effect.never)
    )
    const done = yield* Effect.raceFirst(peer.event("done"), unexpectedEnd(connection))
    yield* expect(done["ok"] === true, JSON.stringify(done))
    return yield* check(connection, done)
  })
})

const asServer = (
  program: Program,
  credentials: Credentials,
  name: string,
  action: (connection: Connection, peer: Peer) => Effect.Effect<string | void, unknown, Scope.Scope>,
  settings: { readonly client?: Partial<Ours.ClientOptions>; readonly idle?: number; readonly retry?: boolean } = {}
): Case => ({
  name: `server, ${name}`,
  run: Effect.gen(function* () {
    const { peer, port } = yield* listening(program.server(settings))
    const connection = yield* Ours.connect({ credentials, port, ...program.settings, ...settings.client })
    return yield* action(connection, peer)
  })
})

/** RFC 9000 section 10.1: at least the smaller of both timeouts after the last packet, and not much later. */
const idleAfter = (connection: Connection, least: number) =>
  Effect.gen(function* () {
    const start = performance.now()
    const info = yield* connection.closed
    const took = Math.round(performance.now() - start)
    yield* same(info._tag, "IdleTimeout", "why it ended")
    yield* expect(took > least * 0.7 && took < least * 3, `ended after ${took} ms`)
    return `after ${took} ms`
  })

const CLOSE_CODE = 4242
const STREAM_CODE = 1717

export const clientCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => {
  const make = (...rest: [string, string, ReadonlyArray<string | number>, Parameters<typeof asClient>[5]?]) =>
    asClient(program, credentials, ...rest)
  return [
    make("handshake and one byte", "get", [1], (connection) =>
      Effect.succeed(`${connection.handshake.cipherSuite}, ${connection.handshake.group}`)
    ),
    make("receives 10 MB", "get", [10 * MB]),
    make("sends 10 MB", "put", [10 * MB]),
    make("100 concurrent streams of 20 KB", "streams", [100, 20_000]),
    make("1000 streams one after the other", "sequential", [1000, 100]),
    make("datagrams both ways", "datagrams", [100, 1000], (_, done) =>
      Effect.succeed(`${String(done["received"])} of 100 came back`)
    ),
    make("its close arrives with code and reason", "close", [CLOSE_CODE, "bye"], (connection) =>
      Effect.flatMap(connection.closed, (info) =>
        same(applicationClose(info), ["peer", CLOSE_CODE, "bye"], "what we were told")
      )
    ),
    make("our close arrives with code and reason", "closed", [CLOSE_CODE, "bye"], (_, done) =>
      same([done["errorCode"], done["reason"]], [CLOSE_CODE, "bye"], "what the peer was told")
    ),
    {
      name: "client, its idle timeout of one second ends ours",
      run: Effect.gen(function* () {
        const server = yield* Ours.serve({ credentials, ...program.settings })
        const peer = yield* program.client(server.port, "idle", 1000)
        const connection = yield* server.next
        const said = yield* idleAfter(connection, 1000)
        yield* peer.event("done")
        return said
      })
    }
  ]
}

export const serverCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => {
  const make = (name: string, action: Parameters<typeof asServer>[3], settings?: Parameters<typeof asServer>[4]) =>
    asServer(program, credentials, name, action, settings)
  return [
    make("handshake and one byte", (connection) =>
      Effect.as(Ours.get(connection, 1), `${connection.handshake.cipherSuite}, ${connection.handshake.group}`)
    ),
    make("sends 10 MB", (connection) => Ours.get(connection, 10 * MB)),
    make("receives 10 MB", (connection) => Ours.put(connection, 10 * MB)),
    make("100 concurrent streams of 20 KB", (connection) =>
      Effect.forEach(Array.from({ length: 100 }), () => Ours.echo(connection, 20_000), {
        concurrency: "unbounded",
        discard: true
      })
    ),
    make("1000 streams one after the other", (connection) =>
      Effect.forEach(Array.from({ length: 1000 }), () => Ours.echo(connection, 100), { discard: true })
    ),
    make("datagrams both ways", (connection) => Ours.datagrams(connection, 100, 1000)),
    make("our close arrives with code and reason", (connection, peer) =>
      Effect.gen(function* () {
        yield* Ours.get(connection, 1)
        yield* connection.close({ code: CLOSE_CODE, reason: "bye" })
        const told = yield* peer.event("closed")
        yield* same([told["errorCode"], told["reason"]], [CLOSE_CODE, "bye"], "what the peer was told")
      })
    ),
    make("its close arrives with code and reason", (connection) =>
      Effect.gen(function* () {
        yield* Effect.exit(Ours.ask(connection, `CLOSE ${CLOSE_CODE} bye`))
        const info = yield* connection.closed
        yield* same(applicationClose(info), ["peer", CLOSE_CODE, "bye"], "what we were told")
      })
    ),
    make(
      "its idle timeout of one second ends ours",
      (connection) => Effect.andThen(Ours.get(connection, 1), idleAfter(connection, 1000)),
      { idle: 1000 }
    )
  ]
}

/** The server asks for a token first (RFC 9000 section 8.1.2). */
export const retryCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => [
  asServer(program, credentials, "Retry", (connection) => Ours.get(connection, 10_000), { retry: true }),
  {
    name: "client, Retry",
    run: Effect.gen(function* () {
      const server = yield* Ours.serve({ credentials, ...program.settings, retry: "always" })
      const peer = yield* program.client(server.port, "get", 10_000)
      const done = yield* peer.event("done")
      yield* expect(done["ok"] === true, JSON.stringify(done))
      const { retriesSent, tokensAccepted, tokensRejected } = server.stats()
      yield* same([retriesSent, tokensAccepted, tokensRejected], [1, 1, 0], "Retry packets, and tokens that came back")
    })
  }
]

/** The second handshake needs no certificates (RFC 8446 section 2.2): our client with its server. */
export const resumesOurs = (program: Program, credentials: Credentials): Case => ({
  name: "server, resumption",
  run: Effect.gen(function* () {
    const { port } = yield* listening(program.server())
    const store = yield* SessionStore.makeMemory()
    const visit = Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* Ours.connect({ credentials, port, ...program.settings }).pipe(
          Effect.provide(SessionStore.layer(store))
        )
        yield* Ours.get(connection, 10_000)
        yield* Effect.sleep("300 millis")
        return connection.handshake.resumed
      })
    )
    yield* same([yield* visit, yield* visit, yield* visit], [false, true, true], "which were resumed")
  })
})

/** The same: its client with our server. */
export const resumesTheirs = (program: Program, credentials: Credentials): Case => ({
  name: "client, resumption",
  run: Effect.gen(function* () {
    const server = yield* Ours.serve({ credentials, ...program.settings })
    const peer = yield* program.client(server.port, "resume", 10_000)
    const first = yield* server.next
    const second = yield* Effect.raceFirst(
      server.next,
      Effect.flatMap(peer.event("done"), () => Effect.never)
    )
    yield* same((yield* peer.event("done"))["ok"], true, "transfer")
    yield* same([first.handshake.resumed, second.handshake.resumed], [false, true], "which were resumed")
  })
})

/** Unidirectional streams, resets and refusals, for peers that let their programs do these. */
export const streamCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => {
  const codes = (name: string, verb: string): Case =>
    asClient(program, credentials, name, verb, [STREAM_CODE], (_, done) =>
      same(done["code"], STREAM_CODE, "the code that it was told")
    )
  const told = (name: string, action: typeof Ours.wasReset): Case =>
    asServer(program, credentials, name, (connection) =>
      Effect.flatMap(action(connection, STREAM_CODE), (code) => same(code, STREAM_CODE, "the code that we were told"))
    )
  return [
    asClient(program, credentials, "unidirectional streams both ways", "uni", [MB]),
    codes("we reset a stream", "reset"),
    codes("we refuse a stream", "stop"),
    asServer(program, credentials, "unidirectional streams both ways", (connection) => Ours.uni(connection, MB)),
    told("it resets a stream", Ours.wasReset),
    told("it refuses a stream", Ours.wasStopped)
  ]
}

/** Handshakes that must not succeed, and say why. */
export const refusalCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => [
  {
    name: "client, no protocol in common",
    run: Effect.gen(function* () {
      const server = yield* Ours.serve({ credentials, alpn: "other", ...program.settings })
      const peer = yield* program.client(server.port, "get", 1)
      const failure = yield* Effect.flip(peer.event("done"))
      // How the peer says so is its business.
      yield* expect(/protocol|handshake|alpn/i.test(failure.message), failure.message)
    })
  },
  {
    name: "server, no protocol in common",
    run: Effect.gen(function* () {
      const { port } = yield* listening(program.server())
      const why = yield* Ours.connect({ credentials, port, alpn: "other", ...program.settings }).pipe(
        Effect.as("connected"),
        Effect.catchReason("QuicError", "HandshakeFailed", (reason) => Effect.succeed(reason.alertName))
      )
      yield* same(why, "no_application_protocol", "why")
    })
  },
  {
    name: "server, its certificate comes from nobody that we trust",
    run: Effect.gen(function* () {
      const { port } = yield* listening(program.server())
      const why = yield* Ours.connect({ credentials, port, trust: Tls.layerTrustSystem, ...program.settings }).pipe(
        Effect.as("connected"),
        Effect.catchReason("QuicError", "CertificateRefused", (reason) => Effect.succeed(reason.why))
      )
      yield* same(why, "unknownAuthority", "why")
    })
  }
]

/** Key updates from either side (RFC 9001 section 6). */
export const keyCases = (program: Program, credentials: Credentials): ReadonlyArray<Case> => [
  asClient(program, credentials, "its keys change three times", "keys", [3], (connection) =>
    expect(connection.stats.keyUpdates >= 3, `${connection.stats.keyUpdates} key updates`)
  ),
  asServer(program, credentials, "our keys and its own change", (connection) =>
    Effect.gen(function* () {
      for (let i = 0; i < 3; i++) {
        yield* Ours.put(connection, 100_000)
        yield* Ours.updateKeys(connection)
        yield* Ours.get(connection, 100_000)
        // It begins none while it still keeps the keys of before.
        yield* Effect.sleep("300 millis")
        yield* Ours.ask(connection, "KEYS")
        yield* Ours.get(connection, 100_000)
      }
      yield* expect(connection.stats.keyUpdates >= 4, `${connection.stats.keyUpdates} key updates`)
    })
  )
]
