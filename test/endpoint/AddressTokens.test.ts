/** Tokens that prove an address (RFC 9000 sections 8.1.1 to 8.1.4). */
import { assert, describe, it } from "@effect/vitest"
import { AddressTokens } from "../../src/internal/endpoint/AddressTokens.ts"
import { Address } from "../../src/internal/wire/Datagram.ts"
import { Prng } from "../../src/testing/internal/Prng.ts"
import { make as seededBytes } from "../../src/testing/SeededRandom.ts"

const DAY = 86_400_000
const NOW = 1_700_000_000_000
const v4 = new Address("192.0.2.1", 4000, 4)
const v6 = new Address("2001:db8::1", 4000, 6)
const ORIGINAL = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const SCID = Uint8Array.from({ length: 16 }, (_, i) => 0x40 + i)

const make = (seed = 1, key?: Uint8Array) => new AddressTokens({ random: seededBytes(seed), key, lifetime: DAY })

const none = { kind: "none" }
const invalid = { kind: "invalid" }

describe("tokens of Retry", () => {
  it("prove the address and give the original ID back, for a while, as often as the packet is repeated", () => {
    const tokens = make()
    for (const remote of [v4, v6]) {
      const token = tokens.forRetry(remote, ORIGINAL, SCID, NOW)
      for (const at of [NOW, NOW + 14_000])
        assert.deepStrictEqual(tokens.open(token, remote, SCID, at), { kind: "proven", original: ORIGINAL })
      assert.deepStrictEqual(tokens.open(token, remote, SCID, NOW + 16_000), invalid)
      assert.deepStrictEqual(tokens.open(token, remote, SCID, NOW - 16_000), invalid)
    }
  })

  it("are good for one address, one port and one connection ID only (8.1.2)", () => {
    const tokens = make()
    const token = tokens.forRetry(v4, ORIGINAL, SCID, NOW)
    const others = [new Address("192.0.2.2", 4000, 4), new Address("192.0.2.1", 4001, 4), v6]
    for (const other of others) assert.deepStrictEqual(tokens.open(token, other, SCID, NOW), invalid)
    assert.deepStrictEqual(tokens.open(token, v4, SCID.slice(1), NOW), invalid)
    assert.deepStrictEqual(tokens.open(token, v4, ORIGINAL, NOW), invalid)
  })

  it("carry original IDs of any length", () => {
    const tokens = make()
    for (let length = 8; length <= 20; length++) {
      const original = new Uint8Array(length).fill(length)
      const answer = tokens.open(tokens.forRetry(v6, original, SCID, NOW), v6, SCID, NOW)
      assert.deepStrictEqual(answer, { kind: "proven", original })
    }
  })
})

describe("tokens of NEW_TOKEN", () => {
  it("are good once, from any port of the address, until they are too old (8.1.3)", () => {
    const tokens = make()
    const proven = { kind: "proven", original: undefined } as const
    const again = new Address(v4.host, 9, 4)
    const fresh = (): Uint8Array => tokens.forLater(v4, NOW)
    const token = fresh()
    assert.deepStrictEqual(tokens.open(token, again, ORIGINAL, NOW + 1), proven)
    assert.deepStrictEqual(tokens.open(token, again, ORIGINAL, NOW + 2), none)
    assert.deepStrictEqual(tokens.open(fresh(), v4, ORIGINAL, NOW + DAY), proven)
    assert.deepStrictEqual(tokens.open(fresh(), v4, ORIGINAL, NOW + DAY + 1), none)
    assert.deepStrictEqual(tokens.open(fresh(), v4, ORIGINAL, NOW + 300 * DAY), none)
    assert.deepStrictEqual(tokens.open(fresh(), new Address("192.0.2.2", 4000, 4), ORIGINAL, NOW), none)
  })

  it("say nothing to those on the way: two of the same client and moment have no byte in common but the epoch", () => {
    const tokens = make()
    const [a, b] = [tokens.forLater(v4, NOW), tokens.forLater(v4, NOW)]
    let same = 0
    for (let i = 1; i < a.length; i++) if (a[i] === b[i]) same++
    assert.isAtMost(same, 4)
    assert.isFalse(Buffer.from(a).includes(Buffer.from([192, 0, 2, 1])))
  })

  it("the memory of used ones is bounded, and holds the newest", () => {
    const tokens = make()
    const first = tokens.forLater(v4, NOW)
    assert.strictEqual(tokens.open(first, v4, ORIGINAL, NOW).kind, "proven")
    for (let i = 0; i < 8192; i++) tokens.open(tokens.forLater(v4, NOW), v4, ORIGINAL, NOW)
    assert.deepStrictEqual(tokens.open(first, v4, ORIGINAL, NOW), none)
    for (let i = 0; i < 2 * 8192; i++) tokens.open(tokens.forLater(v4, NOW), v4, ORIGINAL, NOW)
    const sizes = [tokens["used"].size, tokens["usedBefore"].size]
    for (const size of sizes) assert.isAtMost(size, 8192)
  })
})

describe("tokens of whoever", () => {
  it("any changed, shortened or foreign token counts as none, and none throws", () => {
    const tokens = make()
    const random = new Prng(7)
    const retry = tokens.forRetry(v4, ORIGINAL, SCID, NOW)
    const later = tokens.forLater(v4, NOW)
    for (const token of [retry, later]) {
      for (let i = 0; i < token.length; i++) {
        const changed = token.slice()
        changed[i]! ^= 1 << Math.floor(8 * random.next())
        assert.deepStrictEqual(tokens.open(changed, v4, SCID, NOW), none, `byte ${i}`)
        assert.deepStrictEqual(tokens.open(token.subarray(0, i), v4, SCID, NOW), none, `${i} bytes`)
      }
    }
    for (let i = 0; i < 500; i++) {
      const token = seededBytes(i)(1 + (i % 200))
      assert.deepStrictEqual(tokens.open(token, v4, SCID, NOW), none, `seed ${i}`)
    }
    assert.deepStrictEqual(make(2).open(retry, v4, SCID, NOW), none)
  })

  it("a secret that is shared opens them elsewhere and after a restart", () => {
    const key = Buffer.from("a secret of thirty-two characters")
    const token = make(1, key).forRetry(v4, ORIGINAL, SCID, NOW)
    assert.strictEqual(make(2, key).open(token, v4, SCID, NOW).kind, "proven")
    assert.strictEqual(make(2, Buffer.from("another secret of 32 characters!")).open(token, v4, SCID, NOW).kind, "none")
  })

  it("keys change with each lifetime; those of the one before still open", () => {
    const tokens = make()
    const edge = Math.ceil(NOW / DAY) * DAY
    const token = tokens.forLater(v4, edge - 1)
    assert.strictEqual(tokens.open(token, v4, SCID, edge + 1).kind, "proven")
    assert.notStrictEqual(token[0], tokens.forLater(v4, edge)[0])
  })
})
