/** Client and server sessions face to face, without packets: what one sends the other receives, level by level. */
import type { Identity } from "../../src/internal/tls/Identity.ts"
import { makeTlsEngine } from "../../src/internal/tls/OwnTls.ts"
import type { OwnTlsConfig } from "../../src/internal/tls/OwnTls.ts"
import type {
  HandshakeInfo,
  TicketSealing,
  TlsFailure,
  TlsOutput,
  TlsSession
} from "../../src/internal/tls/TlsSession.ts"
import { Level } from "../../src/internal/wire/Protocol.ts"
import { ed25519 } from "./fixtures.ts"

/** The same bytes for the same seed (xorshift32). */
export const seeded = (seed: number) => {
  let state = seed | 1
  return (length: number): Uint8Array => {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      bytes[i] = state >>> 8
    }
    return bytes
  }
}

export interface Sent {
  readonly level: Level
  readonly bytes: Uint8Array
}

/** Notes all that a session tells its connection. */
export class Recorder implements TlsOutput {
  readonly sent: Array<Sent> = []
  readonly secrets: Array<string> = []
  readonly events: Array<string> = []
  readonly peerParameters: Array<string> = []
  readonly tickets: Array<Uint8Array> = []
  info: HandshakeInfo | undefined
  refuse: TlsFailure | undefined

  send(level: Level, bytes: Uint8Array): void {
    this.events.push(`send ${level}`)
    this.sent.push({ level, bytes })
  }
  secret(level: Level, direction: "read" | "write", suite: { readonly name: string }, secret: Uint8Array): void {
    this.events.push(`secret ${level} ${direction}`)
    this.secrets.push(`${level} ${direction} ${suite.name} ${hex(secret)}`)
  }
  transportParameters(encoded: Uint8Array): TlsFailure | undefined {
    this.events.push("parameters")
    this.peerParameters.push(hex(encoded))
    return this.refuse
  }
  complete(info: HandshakeInfo): void {
    this.events.push("complete")
    this.info = info
  }
  ticket(ticket: Uint8Array): void {
    this.tickets.push(ticket)
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

export const accept = (): undefined => undefined

export interface Side {
  readonly session: TlsSession
  readonly output: Recorder
}

export interface PairOptions {
  readonly client?: Partial<OwnTlsConfig>
  readonly server?: Partial<OwnTlsConfig>
  readonly serverName?: string
  readonly clientAlpn?: ReadonlyArray<string>
  readonly serverAlpn?: ReadonlyArray<string>
  readonly identity?: Identity
  readonly seed?: number
  readonly ticket?: Uint8Array | undefined
  readonly tickets?: TicketSealing | undefined
  /** ms since 1970. */
  readonly wallTime?: number
}

export const WALL_TIME = Date.UTC(2030, 0, 1)

export interface Pair {
  readonly client: Side
  readonly server: Side
}

export const pair = (options: PairOptions = {}): Pair => {
  const seed = options.seed ?? 1
  const clientOutput = new Recorder()
  const serverOutput = new Recorder()
  const client = makeTlsEngine({ random: seeded(seed), verifyServer: accept, ...options.client })
  const server = makeTlsEngine({
    random: seeded(seed + 1000),
    verifyServer: accept,
    identity: options.identity ?? ed25519,
    ...options.server
  })
  return {
    client: {
      output: clientOutput,
      session: client.client({
        transportParameters: Uint8Array.of(1, 2, 3),
        output: clientOutput,
        wallTime: options.wallTime ?? WALL_TIME,
        ticket: options.ticket,
        serverName: options.serverName ?? "server.example",
        alpn: options.clientAlpn ?? ["hq-interop"]
      })
    },
    server: {
      output: serverOutput,
      session: server.server!({
        transportParameters: Uint8Array.of(4, 5, 6),
        output: serverOutput,
        wallTime: options.wallTime ?? WALL_TIME,
        tickets: options.tickets,
        alpn: options.serverAlpn ?? ["hq-interop"]
      })
    }
  }
}

/** How bytes get across: gives the pieces to deliver. */
export type Wire = (sent: ReadonlyArray<Sent>, from: "client" | "server") => ReadonlyArray<Sent>

export const asSent: Wire = (sent) => sent

export interface Outcome {
  readonly client: TlsFailure | undefined
  readonly server: TlsFailure | undefined
}

/** Runs a handshake until nothing is under way any more or a side fails. */
export const run = ({ client, server }: Pair, wire: Wire = asSent): Outcome => {
  let clientFailure = client.session.start()
  let serverFailure = server.session.start()
  const deliver = (from: Side, to: Side, name: "client" | "server"): TlsFailure | undefined => {
    let failure: TlsFailure | undefined
    for (const { bytes, level } of wire(from.output.sent.splice(0), name)) failure = to.session.receive(level, bytes)
    return failure
  }
  while (client.output.sent.length > 0 || server.output.sent.length > 0) {
    if (client.output.sent.length > 0) serverFailure = deliver(client, server, "client") ?? serverFailure
    if (serverFailure !== undefined) break
    if (server.output.sent.length > 0) clientFailure = deliver(server, client, "server") ?? clientFailure
    if (clientFailure !== undefined) break
  }
  return { client: clientFailure, server: serverFailure }
}

/** Consecutive bytes of one level in one piece. */
export const coalesced: Wire = (sent) => {
  const pieces: Array<Sent> = []
  for (const { bytes, level } of sent) {
    const last = pieces.at(-1)
    if (last?.level === level) pieces[pieces.length - 1] = { level, bytes: Buffer.concat([last.bytes, bytes]) }
    else pieces.push({ level, bytes })
  }
  return pieces
}

export const byteByByte: Wire = (sent) =>
  sent.flatMap(({ bytes, level }) => Array.from(bytes, (byte) => ({ level, bytes: Uint8Array.of(byte) })))

/** A pair that has completed. */
export const connected = (options?: PairOptions): Pair => {
  const both = pair(options)
  const { client, server } = run(both)
  const failure = client ?? server
  if (failure !== undefined) throw new Error(failure.message)
  return both
}

export { Level }
