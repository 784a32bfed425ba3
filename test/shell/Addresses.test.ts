import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { NetAddress } from "effect/net"
import { addressFromInput, literalAddress, toInetAddress } from "../../src/internal/runtime/Addresses.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"

const book = new AddressBook()
const parsed = (input: Parameters<typeof addressFromInput>[1], port = 7) =>
  Result.match(addressFromInput(book, input, port), { onFailure: (text) => text, onSuccess: (a) => a.toString() })

describe("addresses", () => {
  it("reads what people type, with and without a port", () => {
    assert.strictEqual(parsed("127.0.0.1:4433"), "127.0.0.1:4433")
    assert.strictEqual(parsed("127.0.0.1"), "127.0.0.1:7")
    assert.strictEqual(parsed("[::1]:4433"), "[::1]:4433")
    assert.strictEqual(parsed("[::1]"), "[::1]:7")
    assert.strictEqual(parsed("::1"), "[::1]:7")
    assert.strictEqual(parsed(NetAddress.inetAddressFromIpStringUnsafe("10.0.0.1", 5)), "10.0.0.1:5")
  })

  it("is canonical, so that equal addresses compare equal", () => {
    assert.strictEqual(parsed("[2001:DB8:0:0::1]:1"), "[2001:db8::1]:1")
  })

  it("says what is wrong, and does not throw", () => {
    for (const wrong of ["example.com:1", "1.2.3.4:99999", "1.2.3", "", "[::1", "::1%no-such-interface"]) {
      assert.include(parsed(wrong), "is not a numeric address", wrong)
    }
  })

  it("goes to Effect's value and back", () => {
    for (const text of ["192.0.2.1:9", "[2001:db8::5]:443", "[::]:0"]) {
      const address = Result.getOrThrow(addressFromInput(book, text, 0))
      const inet = toInetAddress(address)
      assert.strictEqual(NetAddress.formatInet(inet), text)
      assert.strictEqual(Result.getOrThrow(addressFromInput(book, inet, 0)), address)
    }
  })

  it("tells literals from names", () => {
    const hosts = ["127.0.0.1", "::1", "[::1]", "localhost", "a.b", "1.2.3", "127.0.0.1:5"]
    assert.deepStrictEqual(
      hosts.map((host) => literalAddress(book, host, 9)?.toString()),
      ["127.0.0.1:9", "[::1]:9", "[::1]:9", undefined, undefined, undefined, undefined]
    )
  })
})
