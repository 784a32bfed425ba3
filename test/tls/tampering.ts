/** Tampering with single messages of a handshake on their way, for tests of what the other side refuses. */
import { assert } from "@effect/vitest"
import type { Extensions } from "../../src/internal/tls/Extensions.ts"
import {
  HandshakeType,
  MESSAGE_HEADER,
  decodeClientHello,
  decodeServerHello,
  encodeClientHello,
  encodeServerHello
} from "../../src/internal/tls/Messages.ts"
import type { ClientHello, ServerHello } from "../../src/internal/tls/Messages.ts"
import type { TlsFailure } from "../../src/internal/tls/TlsSession.ts"
import { Level, pair, run } from "./loopback.ts"
import type { PairOptions } from "./loopback.ts"

export const protocolViolation = 0x0a

/** Runs a handshake in which a message of `type` from one side is replaced, and gives how the other side takes it. */
export const replacing = (
  from: "client" | "server",
  type: number,
  replace: (body: Uint8Array, message: Uint8Array) => Uint8Array,
  options: PairOptions = {},
  which = 0
): TlsFailure | undefined => {
  const both = pair(options)
  let seen = 0
  const { client, server } = run(both, (sent, sender) =>
    sent.map(({ bytes, level }) =>
      sender === from && bytes[0] === type && seen++ === which
        ? { level, bytes: replace(bytes.subarray(MESSAGE_HEADER), bytes) }
        : { level, bytes }
    )
  )
  const failure = from === "client" ? server : client
  if (failure !== undefined) {
    // A session that failed stays so.
    const session = from === "client" ? both.server.session : both.client.session
    assert.strictEqual(session.receive(Level.handshake, Uint8Array.of(1)), failure)
    assert.strictEqual(session.start(), failure)
    const output = from === "client" ? both.server.output : both.client.output
    assert.isUndefined(output.info)
  }
  return failure
}

export const assertAlert = (failure: TlsFailure | undefined, alert: number) => {
  assert.strictEqual(failure?.alert, alert, failure?.message)
}

export const changed = (extensions: Extensions, type: number, data: Uint8Array | undefined): Extensions => {
  const copy = new Map(extensions)
  if (data === undefined) copy.delete(type)
  else copy.set(type, data)
  return copy
}

export const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
export const none = new Uint8Array(0)
export const twoGroups: PairOptions = { client: { groups: ["X25519", "secp256r1"] }, server: { groups: ["secp256r1"] } }

/** Changes the ClientHello: what the server makes of it. */
export const editClientHello = (
  change: (hello: ClientHello) => Partial<ClientHello>,
  options?: PairOptions,
  which = 0
): TlsFailure | undefined =>
  replacing(
    "client",
    HandshakeType.clientHello,
    (body) => {
      const hello = decodeClientHello(body)
      return encodeClientHello({ ...hello, ...change(hello) })
    },
    options,
    which
  )

/** Changes the ServerHello or HelloRetryRequest: what the client makes of it. */
export const editServerHello = (
  change: (hello: ServerHello) => Partial<ServerHello>,
  options?: PairOptions,
  which = 0
): TlsFailure | undefined =>
  replacing(
    "server",
    HandshakeType.serverHello,
    (body) => {
      const hello = decodeServerHello(body)
      return encodeServerHello({ ...hello, ...change(hello) })
    },
    options,
    which
  )

/** The last byte changed. */
export const flipLast = (message: Uint8Array): Uint8Array => {
  const copy = message.slice()
  copy[copy.length - 1]! ^= 1
  return copy
}
