/** Key updates under way (RFC 9001 section 6): by either side, again and again, while packets are lost and overtaken. */
import { assert, describe, it } from "@effect/vitest"
import { writeAck, NO_PATH, writePing } from "../../src/internal/wire/FrameWriter.ts"
import { TransportError } from "../../src/internal/wire/Protocol.ts"
import type { DuplexOptions } from "../../src/testing/internal/SimulatorCore.ts"
import { capture, frames, inject, sendRaw } from "../support/Hostile.ts"
import type { Pair } from "../support/Machines.ts"
import { established, exchange, intact, seeds, send, transportCode } from "../support/Scenario.ts"

const MB = 1_000_000

const generations = (pair: Pair): ReadonlyArray<number> =>
  [pair.connection, pair.accepted].flatMap((connection) => {
    const keys = connection.core.handshake.oneRtt!
    return [keys.readGeneration, keys.writeGeneration]
  })

/** Tries to update every `interval` ms until told to stop; counts those that were allowed. */
const updating = (
  pair: Pair,
  who: ReadonlyArray<"client" | "server">,
  interval: number
): { count: number; on: boolean } => {
  const state = { count: 0, on: true }
  const step = (): void => {
    if (!state.on) return
    for (const role of who) {
      const connection = role === "client" ? pair.connection : pair.accepted
      if (connection.updateKeys(pair.simulator.now)) state.count++
      connection.wake()
    }
    pair.simulator.at(pair.simulator.now + interval, step)
  }
  step()
  return state
}

const bad: DuplexOptions = {
  mbps: 40,
  delay: 10,
  queue: 100,
  loss: 0.02,
  reorder: 0.1,
  reorderDelay: 30,
  duplicate: 0.02
}

describe("RFC 9001 6: key updates during transfers", () => {
  it.each<[string, ReadonlyArray<"client" | "server">, DuplexOptions]>([
    ["the client", ["client"], { mbps: 40, delay: 10, queue: 100 }],
    ["the server", ["server"], { mbps: 40, delay: 10, queue: 100 }],
    ["both at the same moments", ["client", "server"], { mbps: 40, delay: 10, queue: 100 }],
    ["the client, over a bad link", ["client"], bad],
    ["both, over a bad link", ["client", "server"], bad]
  ])("started by %s, as often as allowed", (name, who, link) => {
    for (const seed of seeds(3)) {
      const pair = established({ seed, links: [link] })
      const state = updating(pair, who, 5)
      exchange(pair, MB, 120_000, `${name}, seed ${seed}`)
      state.on = false
      assert.isAtLeast(state.count, 1, `seed ${seed}`)
      pair.run(pair.simulator.now + 1000)
      exchange(pair, 1000, 10_000, `${name}, seed ${seed}, after`)
      pair.run(pair.simulator.now + 1000)
      const [clientRead, clientWrite, serverRead, serverWrite] = generations(pair)
      assert.strictEqual(clientWrite, serverRead)
      assert.strictEqual(serverWrite, clientRead)
      assert.strictEqual(clientRead, clientWrite)
      assert.isAtLeast(clientRead!, 1)
    }
  })

  it("6.1: not before the handshake is confirmed, and not again before the update is acknowledged", () => {
    const pair = established()
    const fresh = established()
    assert.isFalse(fresh.connection.updateKeys(fresh.simulator.now) && fresh.connection.updateKeys(fresh.simulator.now))
    exchange(pair, 1000, 1000, "to have acknowledgements")
    assert.isTrue(pair.connection.updateKeys(pair.simulator.now))
    assert.isFalse(pair.connection.updateKeys(pair.simulator.now))
    pair.client.tap = () => false
    send(pair.connection, pair.accepted, 1000)
    pair.run(pair.simulator.now + 2000)
    assert.isFalse(pair.connection.updateKeys(pair.simulator.now))
    pair.client.tap = undefined
    pair.run(pair.simulator.now + 3000)
    assert.isTrue(pair.connection.updateKeys(pair.simulator.now))
  })

  it("each update is counted once on each side", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    for (let i = 1; i <= 3; i++) {
      const who = i % 2 === 0 ? pair.connection : pair.accepted
      assert.isTrue(who.updateKeys(pair.simulator.now))
      // Twice, so that both have sent something under the new keys that the other acknowledges.
      exchange(pair, 1000, 1000, "the update")
      exchange(pair, 1000, 1000, "under new keys")
      pair.run(pair.simulator.now + 1000)
      assert.strictEqual(pair.connection.stats().keyUpdates, i)
      assert.strictEqual(pair.accepted.stats().keyUpdates, i)
    }
  })

  it("6.3, 6.5: packets of the old phase that come late are read for a while; old ones replayed are dropped", () => {
    const pair = established({ links: [{ mbps: 40, delay: 10, queue: 100, reorder: 0.3, reorderDelay: 40 }] })
    exchange(pair, 100_000, 5000, "before")
    const sent = capture(pair.client)
    const up = send(pair.connection, pair.accepted, MB)
    pair.run(pair.simulator.now + 100)
    const { packetsDropped } = pair.accepted.stats()
    assert.isTrue(pair.connection.updateKeys(pair.simulator.now))
    pair.until(() => up.finished, pair.simulator.now + 20_000)
    intact(up, MB, "over the update")
    // None of them failed to open: duplicates aside, nothing is dropped.
    assert.strictEqual(pair.accepted.stats().packetsDropped - packetsDropped, 0)
    pair.run(pair.simulator.now + 3000)
    const old = sent.slice(0, 50)
    for (const { bytes } of old) sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, bytes)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(pair.accepted.stats().packetsDropped - packetsDropped, old.length)
    exchange(pair, 1000, 1000, "after the replay")
  })

  it("6.2: a peer that acknowledges new keys under old ones is stopped with KEY_UPDATE_ERROR", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    const { recovery } = pair.accepted.paths[0]!
    assert.isTrue(pair.accepted.updateKeys(pair.simulator.now))
    // The client does not see what the server sends under the new keys.
    pair.server.tap = () => false
    send(pair.accepted, pair.connection, 1000)
    pair.run(pair.simulator.now + 5)
    pair.server.tap = undefined
    const largest = recovery.nextPacketNumber(2) - 1
    inject(
      pair.simulator,
      pair.connection,
      frames((w) => writeAck(w, NO_PATH, Float64Array.of(largest, largest), 1, 0, 0, 0, 0, false))
    )
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(transportCode(pair.client), TransportError.keyUpdate)
  })

  it("B9: 6.6: an update comes long before a key has sealed too much", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    pair.connection.core.handshake.oneRtt!.sealed(2 ** 22)
    exchange(pair, 1000, 1000, "after")
    assert.strictEqual(pair.connection.stats().keyUpdates, 1)
    assert.isFalse(pair.connection.core.handshake.oneRtt!.limitReached)
  })

  it("B9: 6.6: a key that cannot be updated is not used beyond its limit: AEAD_LIMIT_REACHED", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    const keys = pair.connection.core.handshake.oneRtt!
    // Nothing under the new keys is acknowledged, so there can be no next ones.
    pair.server.tap = () => false
    assert.isTrue(pair.connection.updateKeys(pair.simulator.now))
    send(pair.connection, pair.accepted, 1000)
    pair.run(pair.simulator.now + 20)
    keys.sealed(2 ** 23 - 4096 - 50)
    assert.isTrue(pair.connection.core.open)
    assert.isTrue(keys.needsUpdate)
    const sent = capture(pair.client)
    for (let i = 0; i < 100 && pair.connection.core.open; i++) {
      pair.connection.core.pingPending = true
      pair.connection.wake()
      pair.run(pair.simulator.now + 1)
    }
    assert.strictEqual(transportCode(pair.client), TransportError.aeadLimitReached)
    assert.isBelow(sent.length, 100)
    assert.isFalse(keys.exhausted)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(transportCode(pair.server), TransportError.aeadLimitReached)
  })

  it("B9: 6.6: at the limit itself not even the end of the connection is sealed", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    pair.run(pair.simulator.now + 200)
    pair.connection.core.handshake.oneRtt!.sealed(2 ** 23)
    const sent = capture(pair.client)
    pair.connection.close(0, "over", pair.simulator.now)
    pair.run(pair.simulator.now + 100)
    assert.strictEqual(sent.length, 0)
  })

  it("6.3: forged packets with the other key phase move no keys", () => {
    const pair = established()
    exchange(pair, 1000, 1000, "before")
    const before = generations(pair)
    const sent = capture(pair.client)
    for (let i = 0; i < 20; i++) inject(pair.simulator, pair.connection, frames(writePing))
    pair.run(pair.simulator.now + 100)
    for (const { bytes } of sent) {
      for (let bit = 0; bit < 256; bit += 5) {
        const forged = bytes.slice()
        forged[0]! ^= 0x1f & bit
        forged[10]! ^= bit
        sendRaw(pair.simulator, pair.client.addresses[0]!, pair.server.addresses[0]!, forged)
      }
    }
    pair.run(pair.simulator.now + 500)
    assert.deepStrictEqual(generations(pair), before)
    exchange(pair, 1000, 1000, "after")
  })
})
