import { assert, describe, it } from "@effect/vitest"
import { ExtensionType } from "../../src/internal/tls/Extensions.ts"
import { HandshakeType, encodeCertificateRequest, encodeNewSessionTicket } from "../../src/internal/tls/Messages.ts"
import { p256 } from "./fixtures.ts"
import { Level, accept, coalesced, connected, pair, run } from "./loopback.ts"
import type { PairOptions } from "./loopback.ts"
import { assertAlert, bytes, none, protocolViolation, replacing } from "./tampering.ts"

const toConnected = (message: Uint8Array) => connected().client.session.receive(Level.oneRtt, message)

const ticket = { lifetime: 1, ageAdd: 2, nonce: none, ticket: bytes(1), extensions: new Map<number, Uint8Array>() }

const zeros = (length: number) => new Uint8Array(length)

/** A byte more behind a message, in the same piece: what the other side makes of it. */
const after = (type: number, from: "client" | "server") => {
  const outcome = run(pair(), (sent, sender) =>
    coalesced(
      sent.map(({ bytes: message, level }) =>
        sender === from && message[0] === type
          ? { level, bytes: Buffer.concat([message, bytes(11)]) }
          : { level, bytes: message }
      ),
      sender
    )
  )
  return from === "client" ? outcome.server : outcome.client
}

describe("messages out of place: 10 (RFC 8446 section 4)", () => {
  const nothing = { level: Level.handshake, bytes: bytes(8, 0, 0, 2, 0, 0) }

  it("at a level that is not in use", () => {
    for (const level of [Level.zeroRtt, Level.handshake, Level.oneRtt]) {
      const { client, server } = pair()
      client.session.start()
      assertAlert(client.session.receive(level, nothing.bytes), 10)
      assertAlert(server.session.receive(level, nothing.bytes), 10)
    }
  })

  it("at the level before", () => {
    const both = connected()
    assertAlert(both.client.session.receive(Level.handshake, nothing.bytes), 10)
    assertAlert(both.server.session.receive(Level.handshake, nothing.bytes), 10)
  })

  it("no bytes are no message, at any level", () => {
    const { client } = pair()
    assert.isUndefined(client.session.receive(Level.oneRtt, none))
  })

  it("before the ClientHello was sent", () => {
    assertAlert(pair().client.session.receive(Level.initial, encodeNewSessionTicket(ticket)), 10)
  })

  it("a message of the wrong type, in every state", () => {
    const states = ["client", "server"] as const
    for (const from of states) {
      const options: PairOptions = {
        client: { identity: p256 },
        server: { clientAuth: "require", verifyClient: accept }
      }
      for (const type of [1, 2, 8, 13, 11, 15, 20]) {
        // KeyUpdate is refused in every state of both sides (RFC 9001 section 6).
        const failure = replacing(from, type, () => bytes(24, 0, 0, 1, 0), options)
        const sent = from === "client" ? [1, 11, 15, 20] : [2, 8, 13, 11, 15, 20]
        if (sent.includes(type)) assertAlert(failure, 10)
        else assert.isUndefined(failure)
      }
    }
  })

  it("after the handshake: KeyUpdate, CertificateRequest, and for a server anything", () => {
    assertAlert(toConnected(bytes(24, 0, 0, 1, 0)), 10)
    const request = toConnected(encodeCertificateRequest(new Map()))
    assertAlert(request, 10)
    assert.strictEqual(request?.transportError, protocolViolation)
    assertAlert(toConnected(bytes(20, 0, 0, 0)), 10)
    assertAlert(connected().server.session.receive(Level.oneRtt, encodeNewSessionTicket(ticket)), 10)
  })

  it("a ticket that limits early data: PROTOCOL_VIOLATION (RFC 9001 section 4.6.1)", () => {
    const limited = new Map([[ExtensionType.earlyData, bytes(0, 0, 255, 255)]])
    const failure = connected().client.session.receive(
      Level.oneRtt,
      encodeNewSessionTicket({ ...ticket, extensions: limited })
    )
    assert.strictEqual(failure?.transportError, protocolViolation)
  })

  it("a malformed ticket: 50; one with an extension that belongs elsewhere: 47", () => {
    const misplaced = new Map([[ExtensionType.alpn, none]])
    assertAlert(toConnected(encodeNewSessionTicket({ ...ticket, extensions: misplaced })), 47)
    const empty = encodeNewSessionTicket({ ...ticket, ticket: none })
    assertAlert(connected().client.session.receive(Level.oneRtt, empty), 50)
  })

  it("data that goes on where the keys change (RFC 8446 section 5.1)", () => {
    assertAlert(after(HandshakeType.clientHello, "client"), 10)
    assertAlert(after(HandshakeType.serverHello, "server"), 10)
    assertAlert(after(HandshakeType.finished, "server"), 10)
    assertAlert(after(HandshakeType.finished, "client"), 10)
  })
})

describe("limits", () => {
  it("a message above maxMessage: 47, as soon as its header is there", () => {
    const { server } = pair({ server: { maxMessage: 2000 } })
    assertAlert(server.session.receive(Level.initial, bytes(1, 0, 0x07, 0xd1)), 47)
    const within = pair({ server: { maxMessage: 2000 } })
    assert.isUndefined(within.server.session.receive(Level.initial, bytes(1, 0, 0x07, 0xd0)))
  })

  it("a callback that throws ends the handshake with 80, not with an exception", () => {
    const both = pair({
      client: {
        verifyServer: () => {
          throw new Error("verifier is broken")
        }
      }
    })
    const { client } = run(both)
    assertAlert(client, 80)
    assert.include(client!.message, "verifier is broken")
  })

  it("a source of randomness that is broken ends it with 80", () => {
    assertAlert(run(pair({ client: { random: zeros, groups: ["secp256r1"] } })).client, 80)
  })

  it("starting twice is refused", () => {
    const { client } = pair()
    assert.isUndefined(client.session.start())
    assertAlert(client.session.start(), 80)
  })
})
