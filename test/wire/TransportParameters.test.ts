import { assert, describe, it } from "@effect/vitest"
import { ByteWriter } from "../../src/internal/wire/Cursor.ts"
import { isViolation, TransportError, violation } from "../../src/internal/wire/Protocol.ts"
import type { Role } from "../../src/internal/wire/Protocol.ts"
import {
  decodeTransportParameters,
  defaultTransportParameters,
  encodeTransportParameters,
  TransportParameterId as Id
} from "../../src/internal/wire/TransportParameters.ts"
import type { TransportParameters } from "../../src/internal/wire/TransportParameters.ts"
import { Random } from "./random.ts"

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"))

/** One parameter as on the wire. */
const parameter = (id: number, value: string | number): Uint8Array => {
  const w = new ByteWriter(new Uint8Array(200))
  const content = new ByteWriter(new Uint8Array(100))
  if (typeof value === "number") content.varint(value)
  else content.copy(hex(value))
  w.varint(id)
  w.varint(content.position)
  w.copyRange(content.bytes, 0, content.position)
  return w.bytes.slice(0, w.position)
}

const decoded = (bytes: Uint8Array, from: Role = "server"): TransportParameters => {
  const result = decodeTransportParameters(bytes, from)
  if (isViolation(result)) return assert.fail(result.reason)
  return result
}

const assertRefused = (bytes: Uint8Array, from: Role = "server"): void => {
  const result = decodeTransportParameters(bytes, from)
  if (!isViolation(result)) return assert.fail(`accepted ${Buffer.from(bytes).toString("hex")}`)
  assert.strictEqual(result.code, TransportError.transportParameter)
  assert.notStrictEqual(result.reason, "")
}

const randomParameters = (random: Random, from: Role): TransportParameters => {
  const server = from === "server"
  const maybe = <A>(make: () => A): A | undefined => (random.boolean() ? make() : undefined)
  const address = (length: number): { address: Uint8Array; port: number } => ({
    address: random.bytes(length),
    port: random.between(1, 65_535)
  })
  const cid = (): Uint8Array => random.bytes(random.between(0, 20))
  const versions = [1, 0x6b33_43cf, 0xfaba_dada].slice(0, random.between(1, 3))
  return {
    originalDestinationConnectionId: server ? maybe(cid) : undefined,
    maxIdleTimeout: random.integer(),
    statelessResetToken: server ? maybe(() => random.bytes(16)) : undefined,
    maxUdpPayloadSize: random.between(1200, 65_527),
    initialMaxData: random.integer(),
    initialMaxStreamDataBidiLocal: random.integer(),
    initialMaxStreamDataBidiRemote: random.integer(),
    initialMaxStreamDataUni: random.integer(),
    initialMaxStreamsBidi: random.integer(),
    initialMaxStreamsUni: random.integer(),
    ackDelayExponent: random.between(0, 20),
    maxAckDelay: random.between(0, 2 ** 14 - 1),
    disableActiveMigration: random.boolean(),
    preferredAddress: server
      ? maybe(() => ({
          ipv4: maybe(() => address(4)),
          ipv6: maybe(() => address(16)),
          connectionId: random.bytes(random.between(1, 20)),
          statelessResetToken: random.bytes(16)
        }))
      : undefined,
    activeConnectionIdLimit: 2 + random.between(0, 100),
    initialSourceConnectionId: maybe(cid),
    retrySourceConnectionId: server ? maybe(cid) : undefined,
    versionInformation: maybe(() => ({ chosen: versions[0]!, available: versions })),
    maxDatagramFrameSize: random.integer(),
    greaseQuicBit: random.boolean(),
    initialMaxPathId: maybe(() => random.integer(0xffff_ffff)),
    addressDiscovery: maybe(() => random.between(0, 2)),
    maxAdvertised: maybe(() => random.between(1, 255))
  }
}

describe("transport parameters (RFC 9000 section 18)", () => {
  it("round-trip, also with one that is unknown", () => {
    const random = new Random(51)
    for (let i = 0; i < 1000; i++) {
      const from = random.boolean() ? "client" : "server"
      const parameters = randomParameters(random, from)
      const grease = random.boolean()
        ? { id: 31 * random.between(0, 2 ** 40) + 27, bytes: random.bytes(random.between(0, 40)) }
        : undefined
      assert.deepStrictEqual(decoded(encodeTransportParameters(parameters, grease), from), parameters)
    }
  })

  it("18.2: absent ones have their defaults, and defaults are not sent", () => {
    assert.deepStrictEqual(decoded(new Uint8Array(0)), defaultTransportParameters)
    assert.strictEqual(encodeTransportParameters(defaultTransportParameters).length, 0)
    const defaults = decoded(new Uint8Array(0))
    assert.strictEqual(defaults.maxUdpPayloadSize, 65_527)
    assert.strictEqual(defaults.ackDelayExponent, 3)
    assert.strictEqual(defaults.maxAckDelay, 25)
    assert.strictEqual(defaults.activeConnectionIdLimit, 2)
    assert.isUndefined(defaults.initialMaxPathId)
  })

  it("18.1: unknown ones are ignored, whatever their content", () => {
    const bytes = Buffer.concat([parameter(27, "ff"), parameter(31 * 1000 + 27, ""), parameter(Id.initialMaxData, 7)])
    assert.strictEqual(decoded(new Uint8Array(bytes)).initialMaxData, 7)
    // Two ids above 2^53 that are equal as numbers are no duplicates.
    const wide = hex("fffffffffffffffe 00 fffffffffffffffd 00")
    assert.deepStrictEqual(decoded(wide), defaultTransportParameters)
  })

  it("7.4: a parameter that is there twice", () => {
    for (const [id, value] of [
      [Id.initialMaxData, 7],
      [Id.disableActiveMigration, ""],
      [27, "00"]
    ] as const) {
      assertRefused(new Uint8Array(Buffer.concat([parameter(id, value), parameter(id, value)])))
    }
  })

  it("18.2: values out of range, next to those just inside", () => {
    for (const [id, good, bad] of [
      [Id.maxUdpPayloadSize, 1200, 1199],
      [Id.ackDelayExponent, 20, 21],
      [Id.maxAckDelay, 2 ** 14 - 1, 2 ** 14],
      [Id.activeConnectionIdLimit, 2, 1],
      [Id.initialMaxStreamsBidi, "d000000000000000", "d000000000000001"],
      [Id.initialMaxStreamsUni, "d000000000000000", "d000000000000001"]
    ] as const) {
      decoded(parameter(id, good))
      assertRefused(parameter(id, bad))
    }
  })

  it("NEG-6: initial_max_path_id above 2^32-1", () => {
    assert.strictEqual(decoded(parameter(Id.initialMaxPathId, 2 ** 32 - 1)).initialMaxPathId, 2 ** 32 - 1)
    assertRefused(parameter(Id.initialMaxPathId, 2 ** 32))
    assertRefused(parameter(Id.initialMaxPathId, "ffffffffffffffff"))
  })

  it("NEG-1, NEG-4: initial_max_path_id is 0x3e, and 0 is not the same as absent", () => {
    const bytes = encodeTransportParameters({ ...defaultTransportParameters, initialMaxPathId: 0 })
    assert.deepStrictEqual(bytes, hex("3e 01 00"))
    assert.strictEqual(decoded(bytes).initialMaxPathId, 0)
  })

  it("limits above 2^53-1 read as 2^53-1", () => {
    assert.strictEqual(
      decoded(parameter(Id.initialMaxData, "ffffffffffffffff")).initialMaxData,
      Number.MAX_SAFE_INTEGER
    )
  })

  it("18.2: what only servers send, refused from a client", () => {
    for (const [id, value] of [
      [Id.originalDestinationConnectionId, "0102"],
      [Id.statelessResetToken, "00".repeat(16)],
      [Id.retrySourceConnectionId, "0102"],
      [Id.preferredAddress, `${"01".repeat(24)} 01 61 ${"00".repeat(16)}`]
    ] as const) {
      decoded(parameter(id, value), "server")
      assertRefused(parameter(id, value), "client")
    }
    decoded(parameter(Id.initialSourceConnectionId, "0102"), "client")
  })

  it("wrong lengths", () => {
    for (const [id, value] of [
      [Id.statelessResetToken, "00".repeat(15)],
      [Id.statelessResetToken, "00".repeat(17)],
      [Id.originalDestinationConnectionId, "00".repeat(21)],
      [Id.initialSourceConnectionId, "00".repeat(21)],
      [Id.retrySourceConnectionId, "00".repeat(21)],
      [Id.disableActiveMigration, "00"],
      [Id.greaseQuicBit, "01"],
      [Id.initialMaxData, ""],
      [Id.initialMaxData, "0101"],
      [Id.initialMaxData, "40"],
      [Id.initialMaxPathId, ""],
      [Id.preferredAddress, `${"01".repeat(24)} 01 61 ${"00".repeat(15)}`],
      [Id.preferredAddress, `${"01".repeat(24)} 01 61 ${"00".repeat(17)}`],
      [Id.preferredAddress, `${"01".repeat(24)} 00 ${"00".repeat(16)}`],
      [Id.preferredAddress, `${"01".repeat(24)} 15 ${"61".repeat(21)} ${"00".repeat(16)}`],
      [Id.preferredAddress, "01"]
    ] as const) {
      assertRefused(parameter(id, value))
    }
  })

  it("18.2: an address of zeros in preferred_address means none", () => {
    const value = `c0a80001 1151 ${"00".repeat(18)} 01 61 ${"ee".repeat(16)}`
    const preferred = decoded(parameter(Id.preferredAddress, value)).preferredAddress
    assert.deepStrictEqual(preferred?.ipv4, { address: hex("c0a80001"), port: 4433 })
    assert.isUndefined(preferred?.ipv6)
  })

  it("RFC 9368 sections 3 and 4: version_information that cannot be parsed", () => {
    for (const value of ["", "0000", "000000", "00000001 00", "00000000 00000001", "00000001 00000000"]) {
      assertRefused(parameter(Id.versionInformation, value))
    }
    // Only a client must offer what it chose.
    decoded(parameter(Id.versionInformation, "00000001"), "server")
    decoded(parameter(Id.versionInformation, "00000001 6b3343cf"), "server")
    assertRefused(parameter(Id.versionInformation, "00000001 6b3343cf"), "client")
    decoded(parameter(Id.versionInformation, "00000001 6b3343cf 00000001"), "client")
  })

  it("cut anywhere they are refused or are fewer parameters", () => {
    const random = new Random(52)
    for (let i = 0; i < 30; i++) {
      const bytes = encodeTransportParameters(randomParameters(random, "server"))
      for (let cut = 0; cut < bytes.length; cut++) {
        const result = decodeTransportParameters(bytes.subarray(0, cut), "server")
        if (isViolation(result)) assert.strictEqual(result.code, TransportError.transportParameter)
        else assert.isBelow(encodeTransportParameters(result).length, bytes.length)
      }
    }
  })

  it("random bytes never throw", () => {
    const random = new Random(53)
    const ids = Object.values(Id)
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.bytes(random.between(0, 60))
      if (random.boolean() && bytes.length > 10) {
        const w = new ByteWriter(bytes)
        w.varint(ids[random.between(0, ids.length - 1)]!)
        w.varint(random.between(0, 40))
      }
      const result = decodeTransportParameters(bytes, random.boolean() ? "client" : "server")
      if (isViolation(result)) assert.strictEqual(result.code, TransportError.transportParameter)
    }
  })

  it("keeps no reference to the received bytes", () => {
    const bytes = parameter(Id.initialSourceConnectionId, "0102")
    const result = decoded(bytes)
    bytes.fill(0xff)
    assert.deepStrictEqual(result.initialSourceConnectionId, hex("0102"))
  })

  it("isViolation tells a violation from parameters", () => {
    assert.isTrue(isViolation(violation(1, "")))
    assert.isFalse(isViolation(defaultTransportParameters))
  })
})
