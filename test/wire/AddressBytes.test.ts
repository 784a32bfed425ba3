import { assert, describe, it } from "@effect/vitest"
import { isIPv4 } from "node:net"
import { addressFromBytes, addressToBytes } from "../../src/internal/wire/AddressBytes.ts"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"
import { writeAddAddress, writeObservedAddress, writeRemoveAddress } from "../../src/internal/wire/FrameWriter.ts"
import { isViolation } from "../../src/internal/wire/Protocol.ts"
import { decodeTransportParameters, encodeTransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { defaultTransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { Random } from "./random.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const address = (host: string, port = 4433) => new AddressBook().intern(host, port)

/** What sockets report: RFC 5952, which the URL parser writes, too. */
const canonical = (host: string): string => (isIPv4(host) ? host : new URL(`http://[${host}]`).hostname.slice(1, -1))

describe("addresses on the wire", () => {
  it("RFC 5952: text and bytes, there and back", () => {
    for (const host of [
      "203.0.113.7",
      "0.0.0.0",
      "255.255.255.255",
      "::",
      "::1",
      "2001:db8::7",
      "2001:db8:0:1:1:1:1:1",
      "2001:db8::1:0:0:1",
      "1::",
      "fe80::1234:5678:9abc:def0",
      "64:ff9b::c000:221"
    ]) {
      const bytes = addressToBytes(address(host))
      assert.strictEqual(bytes.length, isIPv4(host) ? 4 : 16)
      const back = addressFromBytes(bytes, 0, bytes.length, 4433)
      assert.strictEqual(back.host, host)
      assert.strictEqual(back.host, canonical(host))
      assert.strictEqual(back.family, isIPv4(host) ? 4 : 6)
    }
  })

  it("any 16 bytes are the text that the system has for them, with random zeros", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed)
      const bytes = random.bytes(16)
      for (let i = 0; i < 16; i += 2) if (random.boolean()) bytes.fill(0, i, i + 2)
      const { host } = addressFromBytes(bytes, 0, 16, 1)
      assert.strictEqual(host, canonical(host), `seed ${seed}`)
      assert.strictEqual(hex(addressToBytes(address(host))), hex(bytes), `seed ${seed}`)
    }
  })

  it("2.H: RFC 4291 section 2.5.5.2: an IPv4-mapped address is the IPv4 address", () => {
    const mapped = Uint8Array.from(Buffer.from("00000000000000000000ffffcb007107", "hex"))
    assert.strictEqual(addressFromBytes(mapped, 0, 16, 4433).key, address("203.0.113.7").key)
    assert.strictEqual(hex(addressToBytes(address("::ffff:203.0.113.7"))), hex(mapped))
    assert.strictEqual(hex(addressToBytes(address("fe80::1%eth0"))), hex(addressToBytes(address("fe80::1"))))
  })

  it("frames as noq writes them: type, sequence number, address, port", () => {
    const w = (write: (w: ByteWriter) => void): string => {
      const writer = new ByteWriter(new Uint8Array(64))
      write(writer)
      return hex(writer.bytes.subarray(0, writer.position))
    }
    const v4 = addressToBytes(address("203.0.113.7"))
    const v6 = addressToBytes(address("2001:db8::7"))
    assert.strictEqual(
      w((to) => writeAddAddress(to, 3, v4, 4433)),
      "803d7f9003cb0071071151"
    )
    assert.strictEqual(
      w((to) => writeAddAddress(to, 300, v6, 443)),
      "803d7f91412c20010db800000000000000000000000701bb"
    )
    assert.strictEqual(
      w((to) => writeRemoveAddress(to, 3)),
      "803d7f9403"
    )
    assert.strictEqual(
      w((to) => writeObservedAddress(to, 0, v4, 4433)),
      "809f81a600cb0071071151"
    )
    assert.strictEqual(
      w((to) => writeObservedAddress(to, 1, v6, 443)),
      "809f81a70120010db800000000000000000000000701bb"
    )
  })

  it("parameters as noq writes them: one byte of a limit, an integer of a role", () => {
    const encoded = encodeTransportParameters({
      ...defaultTransportParameters,
      maxAdvertised: 200,
      addressDiscovery: 2
    })
    assert.strictEqual(hex(encoded), "c00000009f81a1760102c0003d7f9112040101c8")
    const decode = (text: string) => decodeTransportParameters(Uint8Array.from(Buffer.from(text, "hex")), "server")
    const wrong = {
      "no byte": "c0003d7f9112040100",
      "the number 0": "c0003d7f911204010100",
      "two bytes": "c0003d7f911204010240c8",
      "given twice": "c0003d7f911204010108c0003d7f911204010108",
      "a role that is none": "c00000009f81a1760103",
      "a role of no byte": "c00000009f81a17600",
      "a role that does not fill its length": "c00000009f81a176020101"
    }
    for (const [what, text] of Object.entries(wrong)) {
      const refused = decode(text)
      assert.isTrue(isViolation(refused) && refused.code === 0x08, what)
    }
  })
})
