/** Sessions that are resumed with a ticket (RFC 8446 sections 2.2, 4.2.11, 4.6.1; RFC 9001 section 4.5). */
import { assert, describe, it } from "@effect/vitest"
import { SealedTokens } from "../../src/internal/crypto/SealedTokens.ts"
import { Alert } from "../../src/internal/tls/Alerts.ts"
import type { CertificateInput } from "../../src/internal/tls/Identity.ts"
import { HandshakeType } from "../../src/internal/tls/Messages.ts"
import { decodeTicket, encodeTicket } from "../../src/internal/tls/Tickets.ts"
import type { SessionTicket } from "../../src/internal/tls/Tickets.ts"
import type { TicketSealing } from "../../src/internal/tls/TlsSession.ts"
import { ed25519, p256 } from "./fixtures.ts"
import { Level, WALL_TIME, accept, byteByByte, connected, hex, pair, run, seeded } from "./loopback.ts"
import type { Pair, PairOptions, Sent, Wire } from "./loopback.ts"

const DAY = 86_400_000
const UNKNOWN_CA = 48

const sealing = (seed = 1, lifetime = 86_400): TicketSealing => {
  const sealed = new SealedTokens({ random: seeded(seed), key: undefined, label: "tickets", epochLength: DAY })
  return {
    lifetime,
    seal: (session, wallTime) => sealed.seal(session, wallTime),
    open: (ticket, wallTime) => sealed.open(ticket, wallTime)
  }
}

/** A first handshake, and the ticket that comes of it. */
const first = (tickets: TicketSealing, options: PairOptions = {}): Uint8Array => {
  const { client } = connected({ tickets, ...options })
  assert.isFalse(client.output.info!.resumed)
  assert.lengthOf(client.output.tickets, 1)
  return client.output.tickets[0]!
}

const changed = (ticket: Uint8Array, change: Partial<SessionTicket>): Uint8Array =>
  encodeTicket({ ...decodeTicket(ticket)!, ...change })

/** What was sent at each level, by the types of its messages. */
const watch =
  (messages: Array<string>, inner: Wire = (sent) => sent): Wire =>
  (sent, from) => {
    for (const { bytes, level } of sent) messages.push(`${from} ${level} ${bytes[0]}`)
    return inner(sent, from)
  }

const assertResumed = (both: Pair, expected: boolean): void => {
  const [client, server] = [both.client.output.info!, both.server.output.info!]
  assert.deepStrictEqual([client.resumed, server.resumed], [expected, expected])
  const mirrored = both.server.output.secrets.map((line) =>
    line.includes(" read ") ? line.replace(" read ", " write ") : line.replace(" write ", " read ")
  )
  assert.deepStrictEqual(both.client.output.secrets.toSorted(), mirrored.toSorted())
}

describe("8446 2.2: resumption", () => {
  it("has no certificates, fresh secrets, and the server's certificate of before", () => {
    const tickets = sealing()
    const before = connected({ tickets })
    const messages: Array<string> = []
    const both = pair({ tickets, ticket: before.client.output.tickets[0], seed: 5 })
    assert.deepStrictEqual(run(both, watch(messages)), { client: undefined, server: undefined })
    assertResumed(both, true)
    assert.deepStrictEqual(messages, [
      `client ${Level.initial} ${HandshakeType.clientHello}`,
      `server ${Level.initial} ${HandshakeType.serverHello}`,
      `server ${Level.handshake} ${HandshakeType.encryptedExtensions}`,
      `server ${Level.handshake} ${HandshakeType.finished}`,
      `client ${Level.handshake} ${HandshakeType.finished}`,
      `server ${Level.oneRtt} ${HandshakeType.newSessionTicket}`
    ])
    assert.deepStrictEqual(both.client.output.info!.peerCertificates, before.client.output.info!.peerCertificates)
    assert.isEmpty(both.client.output.secrets.filter((line) => before.client.output.secrets.includes(line)))
    // What it exports is of this session alone.
    const exported = (one: Pair): ReadonlyArray<string> =>
      [one.client, one.server].map(({ session }) => hex(session.exportKeyingMaterial("x", new Uint8Array(0), 32)!))
    assert.strictEqual(exported(both)[0], exported(both)[1])
    assert.notStrictEqual(exported(both)[0], exported(before)[0])
  })

  it("each session gives the next ticket: a chain of them, with every suite, over every wire", () => {
    for (const suite of ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] as const) {
      const tickets = sealing()
      const config = { cipherSuites: [suite] }
      let ticket = first(tickets, { client: config, server: config })
      const seen = new Set([hex(ticket)])
      for (let i = 0; i < 4; i++) {
        const both = pair({ tickets, ticket, seed: 10 + i, client: config, server: config })
        run(both, i % 2 === 0 ? byteByByte : undefined)
        assertResumed(both, true)
        ticket = both.client.output.tickets[0]!
        seen.add(hex(ticket))
      }
      assert.strictEqual(seen.size, 5)
    }
  })

  it("over a HelloRetryRequest: the binder covers both ClientHellos (4.2.11.2)", () => {
    const tickets = sealing()
    const ticket = first(tickets)
    const both = pair({
      tickets,
      ticket,
      client: { groups: ["X25519", "secp256r1"] },
      server: { groups: ["secp256r1"] }
    })
    assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
    assertResumed(both, true)
    assert.strictEqual(both.client.output.info!.group, "secp256r1")
  })

  it("a server that now wants a suite of another hash: a full handshake, with and without HelloRetryRequest (4.1.4)", () => {
    for (const groups of [["X25519"], ["secp256r1"]] as const) {
      const tickets = sealing()
      const ticket = first(tickets)
      const both = pair({ tickets, ticket, server: { cipherSuites: ["TLS_AES_256_GCM_SHA384"], groups } })
      assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
      assertResumed(both, false)
    }
  })

  it("a suite of the same hash will do", () => {
    const tickets = sealing()
    const ticket = first(tickets)
    const both = pair({ tickets, ticket, server: { cipherSuites: ["TLS_CHACHA20_POLY1305_SHA256"] } })
    run(both)
    assertResumed(both, true)
    assert.strictEqual(both.client.output.info!.cipherSuite.name, "TLS_CHACHA20_POLY1305_SHA256")
  })
})

describe("whoever must not resume", () => {
  const full = (what: string, options: (ticket: Uint8Array, tickets: TicketSealing) => PairOptions): void => {
    it(`${what}: a full handshake`, () => {
      const tickets = sealing()
      const both = pair({ tickets, ...options(first(tickets), tickets) })
      assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
      assertResumed(both, false)
    })
  }

  full("a server with other keys", (ticket) => ({ ticket, tickets: sealing(2) }))
  full("a server that gives no tickets", (ticket) => ({ ticket, tickets: undefined }))
  full("a ticket of a session with another name", (ticket) => ({ ticket, serverName: "other.example" }))
  full("a ticket that a client calls that of another name", (ticket) => ({
    ticket: changed(ticket, { serverName: "other.example" }),
    serverName: "other.example"
  }))
  full("a ticket after its life", (ticket) => ({ ticket, wallTime: WALL_TIME + DAY }))
  full("a ticket from the future", (ticket) => ({ ticket, wallTime: WALL_TIME - 1 }))
  full("a ticket that a client keeps for longer than the server said", (ticket) => ({
    ticket: changed(ticket, { lifetime: 604_800 }),
    wallTime: WALL_TIME + DAY + 1
  }))
  full("a suite that the client no longer offers", (ticket) => ({
    ticket,
    client: { cipherSuites: ["TLS_AES_256_GCM_SHA384"] }
  }))
  full("a key of the wrong length", (ticket) => ({ ticket: changed(ticket, { psk: new Uint8Array(48) }) }))
  full("bytes that are no ticket", () => ({ ticket: Uint8Array.of(1, 2, 3) }))
  full("no bytes", () => ({ ticket: new Uint8Array(0) }))
  full("a client that would have to show who it is", (ticket) => ({ ticket, client: { identity: p256 } }))
  full("a server that asks for certificates", (ticket) => ({
    ticket,
    server: { clientAuth: "request", verifyClient: accept }
  }))

  it("a server that asks for certificates gives no ticket, and a client that has one keeps none", () => {
    const asking = connected({
      tickets: sealing(),
      server: { clientAuth: "request", verifyClient: accept },
      client: { identity: p256 }
    })
    assert.lengthOf(asking.client.output.tickets, 0)
    assert.lengthOf(connected({ tickets: sealing(), client: { identity: p256 } }).client.output.tickets, 0)
  })

  it("trust is asked each time: a server that is not believed today is not resumed, and is refused", () => {
    const tickets = sealing()
    const ticket = first(tickets)
    const asked: Array<CertificateInput> = []
    const distrust = (input: CertificateInput) => {
      asked.push(input)
      return { alert: UNKNOWN_CA, message: "no longer trusted" }
    }
    const both = pair({ tickets, ticket, client: { verifyServer: distrust } })
    assert.strictEqual(run(both).client?.alert, UNKNOWN_CA)
    assert.lengthOf(asked, 2)
    for (const { chain, now, serverName } of asked) {
      assert.deepStrictEqual(
        [hex(chain[0]!), now, serverName],
        [hex(ed25519.certificates[0]!), WALL_TIME, "server.example"]
      )
    }
  })
})

describe("hostile tickets", () => {
  /** Runs a handshake in which the client's first message is changed. */
  const withHello = (change: (hello: Uint8Array) => Uint8Array) => {
    const tickets = sealing()
    const both = pair({ tickets, ticket: first(tickets) })
    let hello = true
    return run(both, (sent, from) => {
      if (from === "server" || !hello) return sent
      hello = false
      return sent.map(({ bytes, level }): Sent => ({ level, bytes: change(bytes.slice()) }))
    })
  }

  it("a wrong binder is decrypt_error (4.2.11.2), whichever bit of it", () => {
    for (const bit of [0, 1, 100, 255]) {
      const { server } = withHello((hello) => {
        hello[hello.length - 32 + (bit >> 3)]! ^= 1 << (bit & 7)
        return hello
      })
      assert.strictEqual(server?.alert, Alert.decryptError)
    }
  })

  it("the binder covers all of the ClientHello: a change anywhere is found", () => {
    const random = seeded(9)
    for (let i = 0; i < 60; i++) {
      let length = 0
      const outcome = withHello((hello) => {
        length = hello.length
        const [high, low] = random(2)
        const at = 6 + ((high! * 256 + low!) % (length - 6 - 35))
        hello[at]! ^= 1 + (i & 0x7f)
        return hello
      })
      assert.isDefined(outcome.server ?? outcome.client, `case ${i}`)
    }
  })

  it("a ServerHello that resumes what was not offered, or another ticket than the one offered, is illegal_parameter", () => {
    const tickets = sealing()
    for (const ticket of [undefined, first(tickets)]) {
      const both = pair({ tickets, ticket })
      const outcome = run(both, (sent, from) =>
        from === "client"
          ? sent
          : sent.map(({ bytes, level }): Sent => {
              if (level !== Level.initial) return { level, bytes }
              // At the end of ServerHello: pre_shared_key with the identity 1.
              const added = ticket === undefined ? [0, 41, 0, 2, 0, 1] : []
              const grown = Uint8Array.from([...bytes, ...added])
              if (ticket !== undefined) grown[grown.length - 1] = 1
              const view = new DataView(grown.buffer)
              view.setUint8(3, grown.length - 4)
              view.setUint16(42, grown.length - 44)
              return { level, bytes: grown }
            })
      )
      assert.strictEqual(
        outcome.client?.alert,
        ticket === undefined ? Alert.unsupportedExtension : Alert.illegalParameter
      )
    }
  })

  it("tickets of this server that are no sessions, and thousands of foreign ones, are passed over at bounded cost", () => {
    const tickets = sealing()
    let opened = 0
    const counting: TicketSealing = {
      ...tickets,
      open: (ticket, wallTime) => {
        opened++
        return tickets.open(ticket, wallTime)
      }
    }
    const odd = changed(first(tickets), { ticket: tickets.seal(Uint8Array.of(1, 2, 3), WALL_TIME) })
    const both = pair({ tickets: counting, ticket: odd })
    assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
    assertResumed(both, false)
    assert.strictEqual(opened, 1)
  })
})
