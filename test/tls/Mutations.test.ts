/**
 * Any message of a handshake, changed in any way: it ends in an alert of the peer's making, whose text is fit for a log, within
 * counted work. Never an exception, never "internal error", never a handshake that completes on both sides.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { X509Certificate } from "node:crypto"
import { DerReader } from "../../src/internal/tls/certificates/Der.ts"
import { trustAnchors } from "../../src/internal/tls/certificates/Trust.ts"
import type { Identity } from "../../src/internal/tls/Identity.ts"
import { HandshakeType, encodeNewSessionTicket } from "../../src/internal/tls/Messages.ts"
import type { TlsFailure } from "../../src/internal/tls/TlsSession.ts"
import { WALL_TIME, Level, connected, pair, run, seeded } from "./loopback.ts"
import type { Pair, PairOptions } from "./loopback.ts"
import { intermediate, leaf, root } from "./certificates/Fixtures.ts"

const SEED = 20_260_115
const ROUNDS = 64

const valid = { notBefore: WALL_TIME - 1000, notAfter: WALL_TIME + 1000 }
const anchor = root(valid)
const middle = intermediate(anchor, valid)
const identityOf = (names: ReadonlyArray<string>): Identity => {
  const end = leaf(middle, { ...valid, names })
  return { certificates: [end.certificate, middle.certificate], privateKey: end.privateKey }
}
const verify = trustAnchors([anchor.certificate])

/** Everything a handshake can have: a HelloRetryRequest, and certificates of both sides that are really checked. */
const options: PairOptions = {
  identity: identityOf(["server.example"]),
  client: { groups: ["X25519", "secp256r1"], identity: identityOf([]), verifyServer: verify },
  server: { groups: ["secp256r1"], clientAuth: "require", verifyClient: verify }
}

/** Ways to spoil bytes. Each gives others than it got. */
const mutations: ReadonlyArray<
  readonly [string, (bytes: Uint8Array, random: (below: number) => number) => Uint8Array]
> = [
  ["a bit flipped", (bytes, random) => flip(bytes, random(bytes.length), 1 << random(8))],
  ["a byte replaced", (bytes, random) => flip(bytes, random(bytes.length), 1 + random(255))],
  [
    "a few bytes replaced",
    (bytes, random) => [1, 2, 3, 4].reduce((all) => flip(all, random(all.length), 1 + random(255)), bytes)
  ],
  ["cut short", (bytes, random) => bytes.slice(0, random(bytes.length))],
  ["longer", (bytes, random) => Buffer.concat([bytes, Buffer.alloc(1 + random(300), random(256))])],
  [
    "a part left out",
    (bytes, random) => {
      const at = random(bytes.length)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(40))])
    }
  ],
  [
    "a part twice",
    (bytes, random) => {
      const at = random(bytes.length)
      return Buffer.concat([bytes.subarray(0, at + 1 + random(40)), bytes.subarray(at)])
    }
  ],
  [
    "a length at its limit",
    (bytes, random) => {
      const at = random(bytes.length)
      const copy = bytes.slice()
      copy.set([0xff, 0xff].slice(0, bytes.length - at), at)
      return copy
    }
  ]
]

const flip = (bytes: Uint8Array, at: number, mask: number): Uint8Array =>
  bytes.length === 0 ? bytes : bytes.slice().with(at, bytes[at]! ^ mask)

/** The header told the new length: what is wrong lies in the body. */
const withLength = (message: Uint8Array): Uint8Array => {
  if (message.length < 4) return message
  const length = message.length - 4
  return message
    .slice()
    .with(1, length >> 16)
    .with(2, (length >> 8) & 0xff)
    .with(3, length & 0xff)
}

const assertClean = (failure: TlsFailure | undefined, what: string) => {
  if (failure === undefined) return
  assert.notStrictEqual(failure.alert, 80, `${what}: ${failure.message}`)
  assert.match(failure.message, /^[^\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e]{1,500}$/u, what)
}

describe("mutations", () => {
  const verifying = vi.spyOn(X509Certificate.prototype, "verify")
  const reading = vi.spyOn(DerReader.prototype, "next")

  it("unchanged it completes, after a HelloRetryRequest and with two signatures checked on each side", () => {
    const both = pair(options)
    verifying.mockClear()
    const types: Array<number> = []
    const outcome = run(both, (sent) => {
      types.push(...sent.map((piece) => piece.bytes[0]!))
      return sent
    })
    assert.deepStrictEqual(outcome, { client: undefined, server: undefined })
    assert.isDefined(both.client.output.info)
    assert.isDefined(both.server.output.info)
    assert.deepStrictEqual(types, [1, 2, 1, 2, 8, 13, 11, 15, 20, 11, 15, 20])
    assert.strictEqual(verifying.mock.calls.length, 4)
  })

  for (const [from, types] of [
    ["client", [1, 1, 11, 15, 20]],
    ["server", [2, 2, 8, 13, 11, 15, 20]]
  ] as const) {
    for (const [nth, type] of types.entries()) {
      const which = types.slice(0, nth).filter((other) => other === type).length
      const name = Object.entries(HandshakeType).find(([, number]) => number === type)![0]

      it(`${from}: ${name}${which === 0 ? "" : ", the second"}`, () => {
        const bytes = seeded(SEED + 100 * nth + (from === "client" ? 0 : 50))
        const random = (below: number) => {
          const [a = 0, b = 0] = bytes(2)
          return below < 1 ? 0 : ((a << 8) | b) % below
        }
        let refused = 0
        for (let round = 0; round < ROUNDS; round++) {
          const [kind, mutate] = mutations[round % mutations.length]!
          const what = `seed ${SEED}, ${from} ${name}, round ${round}: ${kind}`
          const both: Pair = pair(options)
          let seen = 0
          let changed = false
          let length = 0
          verifying.mockClear()
          reading.mockClear()
          const outcome = run(both, (sent, sender) =>
            sent.map((piece) => {
              length += piece.bytes.length
              if (sender !== from || piece.bytes[0] !== type || seen++ !== which) return piece
              const spoilt = mutate(piece.bytes, random)
              const message = round % 2 === 0 ? withLength(spoilt) : spoilt
              changed = Buffer.compare(message, piece.bytes) !== 0
              length += message.length
              return { level: piece.level, bytes: message }
            })
          )
          assertClean(outcome.client, what)
          assertClean(outcome.server, what)
          if ((outcome.client ?? outcome.server) !== undefined) refused++
          const done = [both.client, both.server].filter(({ output }) => output.info !== undefined)
          if (changed) assert.isBelow(done.length, 2, what)
          // Twelve for each chain, and of DER no more values than bytes on the wire.
          assert.isAtMost(verifying.mock.calls.length, 24, what)
          assert.isAtMost(reading.mock.calls.length, length, what)
        }
        // The others wait for bytes that do not come.
        assert.isAbove(refused, ROUNDS / 2)
      })
    }
  }

  it("after the handshake", () => {
    const bytes = seeded(SEED)
    const random = (below: number) => (below < 1 ? 0 : bytes(1)[0]! % below)
    const extensions = new Map([[42, Uint8Array.of(255, 255, 255, 255)]])
    const ticket = { lifetime: 60, ageAdd: 1, nonce: Uint8Array.of(1), ticket: new Uint8Array(40), extensions }
    const message = encodeNewSessionTicket(ticket)
    for (let round = 0; round < ROUNDS; round++) {
      const [kind, mutate] = mutations[round % mutations.length]!
      const spoilt = mutate(message, random)
      for (const side of ["client", "server"] as const) {
        const failure = connected()[side].session.receive(Level.oneRtt, round % 2 === 0 ? withLength(spoilt) : spoilt)
        assertClean(failure, `seed ${SEED}, ${side}, round ${round}: ${kind}`)
      }
    }
  })
})
