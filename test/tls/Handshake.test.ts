import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { cipherSuites } from "../../src/internal/tls/CipherSuites.ts"
import { ExtensionType } from "../../src/internal/tls/Extensions.ts"
import type { CertificateInput } from "../../src/internal/tls/Identity.ts"
import { MESSAGE_HEADER, decodeClientHello, encodeNewSessionTicket } from "../../src/internal/tls/Messages.ts"
import { makeTlsEngine } from "../../src/internal/tls/OwnTls.ts"
import type { OwnTlsConfig } from "../../src/internal/tls/OwnTls.ts"
import { decodeTicket } from "../../src/internal/tls/Tickets.ts"
import { ed25519, p256, p384, rsa2048 } from "./fixtures.ts"
import {
  Level,
  WALL_TIME,
  accept,
  asSent,
  byteByByte,
  coalesced,
  connected,
  hex,
  pair,
  run,
  seeded
} from "./loopback.ts"
import type { Pair, Wire } from "./loopback.ts"

/** Both sides are done and have the same secrets, each in the other direction. */
const assertComplete = ({ client, server }: Pair) => {
  const mirrored = server.output.secrets.map((line) =>
    line.includes(" read ") ? line.replace(" read ", " write ") : line.replace(" write ", " read ")
  )
  assert.deepStrictEqual(client.output.secrets.toSorted(), mirrored.toSorted())
  assert.strictEqual(client.output.secrets.length, 4)
  assert.isDefined(client.output.info)
  assert.isDefined(server.output.info)
}

const identities = { ed25519, p256, p384, rsa2048 }

/** All that a handshake sends and its secrets, in short. */
const transcript = (seed: number) => {
  const hash = createHash("sha256")
  const both = pair({ seed })
  run(both, (sent) => {
    for (const { bytes } of sent) hash.update(bytes)
    return sent
  })
  return `${hash.digest("hex")} ${both.client.output.secrets.join()}`
}

/** Overwrites what was sent. */
const scrub: Wire = (sent) =>
  sent.map(({ bytes, level }) => {
    const copy = bytes.slice()
    bytes.fill(0xaa)
    return { level, bytes: copy }
  })

/** Which name the server and the client's verifier are asked for. */
const seenBy = (serverName: string) => {
  const asked: Array<string | undefined> = []
  const inputs: Array<CertificateInput> = []
  const verifyServer = (input: CertificateInput) => {
    inputs.push(input)
    return undefined
  }
  const selectIdentity = (name: string | undefined) => {
    asked.push(name)
    return p256
  }
  const { server } = connected({ serverName, client: { verifyServer }, server: { selectIdentity } })
  assert.strictEqual(server.output.info?.serverName, asked[0])
  assert.deepStrictEqual(inputs[0]?.chain, p256.certificates)
  assert.strictEqual(inputs[0]?.usage, "serverAuth")
  assert.strictEqual(inputs[0]?.now, WALL_TIME)
  return { asked: asked[0], verified: inputs[0]?.serverName }
}

const noIdentity = () => undefined

describe("handshake (RFC 8446)", () => {
  for (const suite of cipherSuites) {
    for (const group of ["X25519", "secp256r1"] as const) {
      for (const [name, identity] of Object.entries(identities)) {
        it(`completes with ${suite.name}, ${group} and ${name}`, () => {
          const config = { cipherSuites: [suite.name], groups: [group] }
          const both = pair({ client: config, server: config, identity })
          assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
          assertComplete(both)
          const info = {
            cipherSuite: suite,
            group,
            alpn: "hq-interop",
            serverName: "server.example",
            resumed: false,
            earlyDataAccepted: false
          }
          assert.deepStrictEqual(both.client.output.info, { ...info, peerCertificates: identity.certificates })
          assert.deepStrictEqual(both.server.output.info, { ...info, peerCertificates: [] })
          assert.deepStrictEqual(both.client.output.peerParameters, ["040506"])
          assert.deepStrictEqual(both.server.output.peerParameters, ["010203"])
        })
      }
    }
  }

  it("secrets come in the order that QUIC needs (RFC 9001 section 4.1 and 5.7)", () => {
    const { client, server } = connected()
    assert.deepStrictEqual(client.output.events, [
      "send 0",
      "secret 2 read",
      "secret 2 write",
      "parameters",
      "send 2",
      "secret 3 read",
      "secret 3 write",
      "complete"
    ])
    assert.deepStrictEqual(server.output.events, [
      "parameters",
      "send 0",
      "secret 2 read",
      "secret 2 write",
      ...Array.from({ length: 4 }, () => "send 2"),
      "secret 3 write",
      "secret 3 read",
      "complete"
    ])
  })

  for (const [name, wire] of Object.entries({ asSent, coalesced, byteByByte })) {
    it(`takes messages ${name}`, () => {
      const both = pair({ server: { clientAuth: "require", verifyClient: accept }, client: { identity: p256 } })
      assert.deepStrictEqual(run(both, wire), { client: undefined, server: undefined })
      assertComplete(both)
    })
  }

  it("the same random bytes give the same handshake", () => {
    assert.strictEqual(transcript(7), transcript(7))
    assert.notStrictEqual(transcript(7), transcript(8))
  })

  it("the server's preference decides the suite, the client's shares the group", () => {
    const { client } = connected({
      client: {
        cipherSuites: ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
        groups: ["secp256r1", "X25519"]
      },
      server: { cipherSuites: ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"] }
    })
    assert.strictEqual(client.output.info?.cipherSuite.name, "TLS_CHACHA20_POLY1305_SHA256")
    // A share is there for secp256r1: a HelloRetryRequest for X25519 would cost a round trip.
    assert.strictEqual(client.output.info?.group, "secp256r1")
    assert.strictEqual(client.output.events.filter((event) => event === "send 0").length, 1)
  })

  it("the server's preference decides the ALPN protocol (RFC 7301 section 3.2)", () => {
    const { client, server } = connected({ clientAlpn: ["a", "b", "c"], serverAlpn: ["x", "c", "b"] })
    assert.strictEqual(client.output.info?.alpn, "c")
    assert.strictEqual(server.output.info?.alpn, "c")
  })

  it("a function gives the transport parameters after those of the client are known (RFC 9368 section 4)", () => {
    const both = pair()
    const engine = makeTlsEngine({ random: seeded(3), verifyServer: accept, identity: ed25519 })
    const { output } = both.server
    const session = engine.server!({
      transportParameters: () => Uint8Array.from(output.peerParameters[0]!, (digit) => Number(digit) + 1),
      output,
      wallTime: WALL_TIME,
      alpn: ["hq-interop"]
    })
    assert.deepStrictEqual(run({ client: both.client, server: { session, output } }), {
      client: undefined,
      server: undefined
    })
    assert.deepStrictEqual(both.client.output.peerParameters, ["010201030104"])
  })

  it("what was sent is not changed afterwards and may be changed by its owner", () => {
    const both = pair({ client: { groups: ["X25519", "secp256r1"] }, server: { groups: ["secp256r1"] } })
    assert.deepStrictEqual(run(both, scrub), { client: undefined, server: undefined })
    assertComplete(both)
  })
})

describe("HelloRetryRequest (RFC 8446 section 4.1.4)", () => {
  for (const wire of [asSent, byteByByte]) {
    it(`the server asks for its group, ${wire.name}`, () => {
      const hellos: Array<Uint8Array> = []
      const both = pair({ client: { groups: ["X25519", "secp256r1"] }, server: { groups: ["secp256r1"] } })
      assert.deepStrictEqual(
        run(both, (sent, from) => {
          if (from === "client" && sent[0]!.level === Level.initial) hellos.push(sent[0]!.bytes)
          return wire(sent, from)
        }),
        { client: undefined, server: undefined }
      )
      assertComplete(both)
      assert.strictEqual(both.server.output.info?.group, "secp256r1")
      assert.strictEqual(hellos.length, 2)
      const [first, second] = hellos.map((hello) => decodeClientHello(hello.subarray(MESSAGE_HEADER)))
      assert.strictEqual(hex(first!.random), hex(second!.random))
      assert.deepStrictEqual([...first!.extensions.keys()], [...second!.extensions.keys()])
      assert.strictEqual(both.server.output.peerParameters.length, 1)
    })
  }

  it("also with SHA-384, whose message_hash is longer", () => {
    const both = pair({
      client: { groups: ["secp256r1", "X25519"], cipherSuites: ["TLS_AES_256_GCM_SHA384"] },
      server: { groups: ["X25519"] }
    })
    assert.deepStrictEqual(run(both), { client: undefined, server: undefined })
    assertComplete(both)
    assert.strictEqual(both.client.output.info?.group, "X25519")
  })
})

describe("server name (RFC 6066 section 3)", () => {
  it("selects the identity, and the verifier is asked for it", () => {
    assert.deepStrictEqual(seenBy("server.example"), { asked: "server.example", verified: "server.example" })
  })

  it("goes without a dot at the end", () => {
    assert.deepStrictEqual(seenBy("server.example."), { asked: "server.example", verified: "server.example" })
  })

  it("goes in ASCII", () => {
    assert.deepStrictEqual(seenBy("bücher.example"), {
      asked: "xn--bcher-kva.example",
      verified: "xn--bcher-kva.example"
    })
  })

  for (const address of ["192.0.2.1", "2001:db8::1"]) {
    it(`is not sent for ${address}, but verified`, () => {
      assert.deepStrictEqual(seenBy(address), { asked: undefined, verified: address })
    })
  }

  it("falls back to the identity when none is selected for the name", () => {
    const { client } = connected({ identity: p384, server: { selectIdentity: noIdentity } })
    assert.deepStrictEqual(client.output.info?.peerCertificates, p384.certificates)
  })
})

describe("client certificates (RFC 8446 sections 4.3.2 and 4.4.2)", () => {
  for (const [name, identity] of Object.entries(identities)) {
    it(`the client shows ${name}, and the verifier sees it`, () => {
      const inputs: Array<CertificateInput> = []
      const verifyClient = (input: CertificateInput) => {
        inputs.push(input)
        return undefined
      }
      const both = connected({ client: { identity }, server: { clientAuth: "require", verifyClient } })
      assertComplete(both)
      assert.deepStrictEqual(both.server.output.info?.peerCertificates, identity.certificates)
      assert.deepStrictEqual(inputs, [
        { chain: identity.certificates, serverName: undefined, usage: "clientAuth", now: WALL_TIME }
      ])
    })
  }

  it("a client without one says so, and a server that only requests goes on", () => {
    const both = connected({ server: { clientAuth: "request", verifyClient: accept } })
    assertComplete(both)
    assert.deepStrictEqual(both.server.output.info?.peerCertificates, [])
  })

  it("a client that is not asked shows nothing", () => {
    const both = connected({ client: { identity: p256 } })
    assert.deepStrictEqual(both.server.output.info?.peerCertificates, [])
  })
})

describe("after the handshake", () => {
  it("both sides export the same keys (RFC 8446 section 7.5), and only once complete", () => {
    const both = pair()
    const context = Uint8Array.of(9)
    assert.isUndefined(both.client.session.exportKeyingMaterial("EXPORTER-test", context, 40))
    run(both)
    const exported = both.client.session.exportKeyingMaterial("EXPORTER-test", context, 40)!
    assert.strictEqual(exported.length, 40)
    assert.strictEqual(hex(exported), hex(both.server.session.exportKeyingMaterial("EXPORTER-test", context, 40)!))
    for (const [label, other] of [
      ["EXPORTER-other", context],
      ["EXPORTER-test", Uint8Array.of(8)]
    ] as const) {
      assert.notStrictEqual(hex(both.client.session.exportKeyingMaterial(label, other, 40)!), hex(exported))
    }
  })

  const ticket = {
    lifetime: 7_000_000,
    ageAdd: 0xfedcba98,
    nonce: Uint8Array.of(0, 1),
    ticket: Uint8Array.of(5, 6, 7),
    extensions: new Map([
      [ExtensionType.earlyData, Uint8Array.of(255, 255, 255, 255)],
      [0x4a4a, Uint8Array.of(1)]
    ])
  }

  it("a ticket is handed over as opaque bytes (RFC 8446 section 4.6.1)", () => {
    const { client } = connected()
    assert.isUndefined(client.session.receive(Level.oneRtt, encodeNewSessionTicket(ticket)))
    const plain = { ...ticket, lifetime: 60, nonce: Uint8Array.of(0, 2), extensions: new Map() }
    assert.isUndefined(client.session.receive(Level.oneRtt, encodeNewSessionTicket(plain)))
    const [first, second] = client.output.tickets.map(decodeTicket)
    assert.deepStrictEqual(
      { ...first, psk: first!.psk.length, certificates: first!.certificates.length },
      {
        cipherSuite: 0x1301,
        psk: 32,
        ticket: ticket.ticket,
        received: WALL_TIME,
        // Seven days, whatever the server says.
        lifetime: 604_800,
        ageAdd: ticket.ageAdd,
        earlyData: true,
        alpn: "hq-interop",
        serverName: "server.example",
        certificates: 1
      }
    )
    assert.isFalse(second!.earlyData)
    assert.strictEqual(second!.lifetime, 60)
    assert.notStrictEqual(hex(first!.psk), hex(second!.psk))
    for (let length = 0; length < client.output.tickets[0]!.length; length++) {
      assert.isUndefined(decodeTicket(client.output.tickets[0]!.subarray(0, length)))
    }
  })

  it("a ticket that lasts no time is dropped", () => {
    const { client } = connected()
    assert.isUndefined(client.session.receive(Level.oneRtt, encodeNewSessionTicket({ ...ticket, lifetime: 0 })))
    assert.strictEqual(client.output.tickets.length, 0)
  })

  it("the key log has every secret in NSS format, and both sides the same", () => {
    const lines: Record<"client" | "server", Array<string>> = { client: [], server: [] }
    const { client } = connected({
      client: { keyLog: (line) => lines.client.push(line) },
      server: { keyLog: (line) => lines.server.push(line) }
    })
    assert.deepStrictEqual(lines.client, lines.server)
    assert.deepStrictEqual(
      lines.client.map((line) => line.split(" ")[0]),
      [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET"
      ]
    )
    for (const line of lines.client) assert.match(line, /^[A-Z_0]+ [0-9a-f]{64} [0-9a-f]{64}$/)
    assert.strictEqual(client.output.secrets[0]?.split(" ")[3], lines.client[1]!.split(" ")[2])
  })
})

describe("settings", () => {
  const base: OwnTlsConfig = { random: seeded(1), verifyServer: accept }

  it("an engine without identity cannot serve", () => {
    assert.isUndefined(makeTlsEngine(base).server)
    assert.isDefined(makeTlsEngine({ ...base, selectIdentity: () => undefined }).server)
  })

  const wrong: Record<string, Partial<OwnTlsConfig>> = {
    cipherSuites: { cipherSuites: [] },
    groups: { groups: [] },
    verifyClient: { clientAuth: "request" },
    maxMessage: { maxMessage: 10 },
    identity: { identity: { certificates: [], privateKey: p256.privateKey } }
  }
  for (const [setting, config] of Object.entries(wrong)) {
    it(`a wrong ${setting} is named`, () => {
      assert.throws(() => makeTlsEngine({ ...base, ...config }), new RegExp(setting))
    })
  }
})
