import { assert, describe, it } from "@effect/vitest"
import { MAX_REMOTE_ADDRESSES, RemoteAddresses } from "../../src/internal/paths/RemoteAddresses.ts"
import { AddressBook } from "../../src/internal/wire/Datagram.ts"

const at = (n: number) => new AddressBook().intern(`10.9.0.${n}`, 4433)

describe("RemoteAddresses", () => {
  it("lists each address once, in the order in which they came", () => {
    const addresses = new RemoteAddresses()
    assert.isTrue(addresses.add(7, at(1)))
    assert.isTrue(addresses.add(3, at(2)))
    assert.isTrue(addresses.add(4, at(1)))
    assert.deepStrictEqual(addresses.current.map(String), ["10.9.0.1:4433", "10.9.0.2:4433"])
    addresses.remove(7)
    assert.deepStrictEqual(addresses.current.map(String), ["10.9.0.2:4433", "10.9.0.1:4433"])
  })

  it("a list that was read never changes, and a change is noted", () => {
    const addresses = new RemoteAddresses()
    addresses.add(1, at(1))
    const before = addresses.current
    addresses.changed = false
    assert.isTrue(addresses.add(1, at(1)))
    assert.isFalse(addresses.remove(2))
    assert.isFalse(addresses.changed)
    addresses.add(1, at(2))
    assert.isTrue(addresses.changed)
    assert.deepStrictEqual(before.map(String), ["10.9.0.1:4433"])
    assert.deepStrictEqual(addresses.current.map(String), ["10.9.0.2:4433"])
  })

  it("is bounded, and pushes none out", () => {
    const addresses = new RemoteAddresses()
    for (let i = 0; i < MAX_REMOTE_ADDRESSES; i++) assert.isTrue(addresses.add(i, at(i)))
    assert.isFalse(addresses.add(1000, at(200)))
    assert.strictEqual(addresses.current.length, MAX_REMOTE_ADDRESSES)
    assert.isTrue(addresses.add(0, at(201)))
    assert.isTrue(addresses.remove(1))
    assert.isTrue(addresses.add(1000, at(200)))
  })
})
