/** CRYPTO data where it does not belong (RFC 9001 section 4.1.3, RFC 9000 section 7.5). */
import { assert, describe, it } from "@effect/vitest"
import { INITIAL_CRYPTO_BUFFER } from "../../src/internal/streams/CryptoStream.ts"
import { writeCryptoHeader } from "../../src/internal/wire/FrameWriter.ts"
import { Level, TransportError } from "../../src/internal/wire/Protocol.ts"
import { frames, inject } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import { established, exchange, transportCode } from "../support/Scenario.ts"

const cryptoFrame = (offset: number, length: number) =>
  frames((w) => {
    writeCryptoHeader(w, offset, length)
    for (let i = 0; i < length; i++) w.uint8(0)
  })

/** A pair whose server has taken the ClientHello, and whose answers are lost so far. */
const answered = (): Pair => {
  const pair = new Pair()
  pair.server.tap = () => false
  assert.isAtLeast(
    pair.until(() => pair.server.accepted[0]?.core.handshake.handshake !== undefined, 1000),
    0
  )
  return pair
}

describe("RFC 9001 4.1.3: handshake data at a level that is over", () => {
  it("B9: Initial data behind the ClientHello closes with PROTOCOL_VIOLATION", () => {
    const pair = answered()
    inject(pair.simulator, pair.connection, cryptoFrame(2000, 10), { level: Level.initial })
    pair.server.tap = undefined
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(transportCode(pair.server), TransportError.protocolViolation)
    assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
  })

  it("B9: so it does when it came before, and waits behind a gap", () => {
    const pair = new Pair()
    pair.client.tap = () => false
    pair.run(5)
    pair.client.tap = undefined
    inject(pair.simulator, pair.connection, cryptoFrame(2000, 10), { level: Level.initial })
    pair.until(() => pair.server.closes.length > 0, 5000)
    assert.strictEqual(transportCode(pair.server), TransportError.protocolViolation)
  })

  it("B9: and from a server, behind a gap after its ServerHello", () => {
    const pair = answered()
    pair.server.tap = undefined
    inject(pair.simulator, pair.accepted, cryptoFrame(2000, 10), { level: Level.initial })
    pair.until(() => pair.client.closes.length > 0, 5000)
    assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
    assert.isUndefined(pair.connection.handshake)
  })

  it("B9: Handshake data of a server behind its Finished", () => {
    const pair = answered()
    pair.server.tap = undefined
    inject(pair.simulator, pair.accepted, cryptoFrame(20_000, 10), { level: Level.handshake })
    pair.until(() => pair.client.closes.length > 0, 5000)
    assert.strictEqual(transportCode(pair.client), TransportError.protocolViolation)
  })

  it("what was sent before may be repeated", () => {
    const pair = answered()
    pair.connection.core.handshake.stream(Level.initial).requeue()
    pair.connection.wake()
    inject(pair.simulator, pair.connection, cryptoFrame(0, 10), { level: Level.initial })
    pair.server.tap = undefined
    pair.until(() => pair.connection.confirmed, 5000)
    exchange(pair, 1000, 1000, "after")
  })

  it("B9: 7.5: what waits behind a gap at the Initial level is 8 kB at the most: CRYPTO_BUFFER_EXCEEDED", () => {
    const pair = new Pair()
    pair.client.tap = () => false
    pair.run(5)
    pair.client.tap = undefined
    inject(pair.simulator, pair.connection, cryptoFrame(INITIAL_CRYPTO_BUFFER - 9, 10), { level: Level.initial })
    pair.until(() => pair.server.closes.length > 0, 5000)
    assert.strictEqual(transportCode(pair.server), TransportError.cryptoBufferExceeded)
  })

  it("after the handshake a server that sends no tickets but nonsense is stopped by TLS", () => {
    const pair = established({ server: { sessionTickets: false } })
    inject(pair.simulator, pair.accepted, cryptoFrame(0, 10))
    pair.until(() => pair.client.closes.length > 0, 5000)
    assert.strictEqual(transportCode(pair.client), TransportError.crypto + 10)
  })
})
