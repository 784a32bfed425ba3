import { assert, describe, it } from "@effect/vitest"
import { aeadLimits, KeyPhases, OpenResult } from "../../src/internal/crypto/KeyPhases.ts"
import type { AeadLimits } from "../../src/internal/crypto/KeyPhases.ts"
import { nodeProtection } from "../../src/internal/crypto/NodeProtection.ts"
import type { PacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import {
  cipherSuites,
  TLS_AES_128_GCM_SHA256,
  TLS_CHACHA20_POLY1305_SHA256
} from "../../src/internal/tls/CipherSuites.ts"
import { Version } from "../../src/internal/wire/Protocol.ts"
import type { PacketProtection } from "../../src/PacketProtection.ts"
import { layOut } from "./support.ts"

const { failed, opened, peerUpdate, updateAnswered, violation } = OpenResult
const PTO = 100
const suite = TLS_AES_128_GCM_SHA256
const clientSecret = new Uint8Array(32).fill(1)
const serverSecret = new Uint8Array(32).fill(2)

interface Sealed {
  readonly burst: () => PacketBurst
  readonly phase: number
  readonly pathId: number
  readonly packetNumber: number
}

/** One end: its keys and the next packet number of each path. */
class End {
  readonly keys: KeyPhases
  readonly next = new Map<number, number>()

  constructor(keys: KeyPhases) {
    this.keys = keys
    keys.onHandshakeConfirmed()
  }

  /** Builds and seals a packet with the keys of now, as a flush of one packet does. */
  send(pathId = 0, packetNumber = this.next.get(pathId) ?? 0): Sealed {
    this.next.set(pathId, packetNumber + 1)
    const phase = this.keys.writePhase
    const burst = layOut([
      {
        header: Uint8Array.of(0x40 | (phase << 2), packetNumber & 255),
        pnLength: 1,
        payload: Uint8Array.of(1, 2, 3, 4),
        pathId,
        packetNumber
      }
    ])
    this.keys.onPacketSent(pathId, packetNumber)
    this.keys.write.seal(burst, 0, 1)
    this.keys.sealed(1)
    return { burst: () => ({ ...burst, slab: burst.slab.slice() }), phase, pathId, packetNumber }
  }

  receive(packet: Sealed, now = 0): OpenResult {
    return this.keys.open(packet.burst(), 0, packet.phase, now)
  }

  /** A packet with an authentic-looking phase bit and a wrong tag. */
  receiveForged(packet: Sealed, phase: number, now = 0): OpenResult {
    const burst = packet.burst()
    burst.slab[burst.slab.length - 1]! ^= 1
    return this.keys.open(burst, 0, phase, now)
  }
}

interface PairOptions {
  readonly limits?: Partial<AeadLimits>
  readonly protection?: PacketProtection
}

const pair = ({ limits, protection = nodeProtection }: PairOptions = {}): { client: End; server: End } => ({
  client: new End(new KeyPhases(protection, suite, Version.v1, serverSecret, clientSecret, limits)),
  server: new End(new KeyPhases(protection, suite, Version.v1, clientSecret, serverSecret, limits))
})

/** `to` gets a packet, and answers with an ack for it that `from` gets. */
const exchange = (from: End, to: End, now: number, pathId = 0): [OpenResult, OpenResult] => {
  const packet = from.send(pathId)
  const there = to.receive(packet, now)
  const back = from.receive(to.send(pathId), now)
  assert.isTrue(from.keys.onAckReceived(pathId, packet.packetNumber, from.keys.openedGeneration, now))
  return [there, back]
}

describe("key updates (RFC 9001 section 6)", () => {
  for (const each of cipherSuites) {
    it(`${each.name}: both ends move on, three phases in a row, either of them first`, () => {
      const client = new End(new KeyPhases(nodeProtection, each, Version.v2, serverSecret, clientSecret))
      const server = new End(new KeyPhases(nodeProtection, each, Version.v2, clientSecret, serverSecret))
      assert.deepStrictEqual(exchange(client, server, 0), [opened, opened])
      let now = 1000
      let [first, second] = [client, server]
      for (let generation = 1; generation <= 3; generation++) {
        assert.isTrue(first.keys.initiateUpdate(now, PTO))
        assert.strictEqual(first.keys.writePhase, generation & 1)
        assert.strictEqual(first.keys.readGeneration, generation - 1)
        assert.deepStrictEqual(exchange(first, second, now), [peerUpdate, updateAnswered])
        for (const end of [first, second]) {
          assert.strictEqual(end.keys.readGeneration, generation)
          assert.strictEqual(end.keys.writeGeneration, generation)
          assert.strictEqual(end.keys.openedGeneration, generation)
          assert.strictEqual(end.keys.writePhase, generation & 1)
          end.keys.keepPreviousUntil(now + 3 * PTO)
        }
        assert.deepStrictEqual(exchange(second, first, now), [opened, opened])
        now += 1000
        ;[first, second] = [second, first]
      }
    })
  }

  it("6: both ends update at the same time", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    exchange(server, client, 0)
    assert.isTrue(client.keys.initiateUpdate(500, PTO))
    assert.isTrue(server.keys.initiateUpdate(500, PTO))
    const fromClient = client.send()
    const fromServer = server.send()
    assert.strictEqual(server.receive(fromClient, 510), updateAnswered)
    assert.strictEqual(client.receive(fromServer, 510), updateAnswered)
    assert.strictEqual(client.keys.writeGeneration, 1)
    assert.strictEqual(server.keys.writeGeneration, 1)
  })

  it("6.1: not before the handshake is confirmed, nor before an ack of the current phase", () => {
    const keys = new KeyPhases(nodeProtection, suite, Version.v1, serverSecret, clientSecret)
    keys.onPacketSent(0, 0)
    assert.isTrue(keys.onAckReceived(0, 0, 0, 0))
    assert.isFalse(keys.initiateUpdate(1000, PTO))
    keys.onHandshakeConfirmed()
    assert.isTrue(keys.initiateUpdate(1000, PTO))

    const { client } = pair()
    client.send()
    assert.isFalse(client.keys.canUpdate(1000, PTO))
    assert.isFalse(client.keys.initiateUpdate(1000, PTO))
    assert.strictEqual(client.keys.writePhase, 0)
  })

  it("6.1: an ack for packets of the phase before does not count", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    const old = client.send(0)
    client.keys.initiateUpdate(0, PTO)
    server.receive(client.send(1))
    client.receive(server.send(1))
    assert.isTrue(client.keys.onAckReceived(0, old.packetNumber, 1, 10))
    assert.isFalse(client.keys.canUpdate(10_000, PTO))
  })

  it("KEY-1: the next one waits 3 times the largest PTO from the ack, on any path, of the one before", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    client.keys.initiateUpdate(0, PTO)
    const first = client.send(3)
    server.receive(first)
    client.receive(server.send(0))
    client.keys.onAckReceived(3, first.packetNumber, client.keys.openedGeneration, 250)
    assert.isFalse(client.keys.initiateUpdate(250 + 3 * PTO - 1, PTO))
    // A later ack does not start the wait again.
    client.keys.onAckReceived(3, first.packetNumber, client.keys.openedGeneration, 400)
    assert.isTrue(client.keys.initiateUpdate(250 + 3 * PTO, PTO))
  })

  it("6.1: not while the peer has not followed", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    assert.isTrue(client.keys.initiateUpdate(0, PTO))
    client.send()
    assert.isFalse(client.keys.initiateUpdate(100_000, PTO))
  })

  it("read keys may come after the write keys", () => {
    const keys = new KeyPhases(nodeProtection, suite, Version.v1, undefined, serverSecret)
    const { client } = pair()
    const packet = client.send()
    assert.isUndefined(keys.headerRead)
    assert.strictEqual(keys.open(packet.burst(), 0, 0, 0), failed)
    assert.strictEqual(keys.failures, 0)
    keys.setReadSecret(clientSecret)
    assert.isDefined(keys.headerRead)
    assert.strictEqual(keys.open(packet.burst(), 0, 0, 0), opened)
  })
})

describe("reordering around a key update (RFC 9001 sections 6.3 to 6.5)", () => {
  it("a late packet of the phase before opens until the deadline", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    const late = client.send()
    const later = client.send()
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(), 50), peerUpdate)
    server.keys.keepPreviousUntil(50 + 3 * PTO)
    assert.strictEqual(server.receive(late, 349), opened)
    assert.strictEqual(server.keys.openedGeneration, 0)
    assert.strictEqual(server.receive(later, 350), failed)
    // Its number says that there is no key to try.
    assert.strictEqual(server.keys.failures, 0)
    assert.strictEqual(server.receive(client.send(), 351), opened)
  })

  it("KEY-2: a slow path's packets of the phase before open after another path moved on", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    exchange(client, server, 0, 1)
    // Path 1 is far ahead in numbers, and slow.
    for (let i = 0; i < 50; i++) server.receive(client.send(1))
    const inFlight = [client.send(1), client.send(1), client.send(1)]
    client.keys.initiateUpdate(0, PTO)
    const updated = client.send(0)
    const updatedSlow = client.send(1)
    assert.isBelow(updated.packetNumber, inFlight[0]!.packetNumber)

    assert.strictEqual(server.receive(updated, 10), peerUpdate)
    server.keys.keepPreviousUntil(10 + 3 * PTO)
    assert.strictEqual(server.receive(inFlight[0]!, 20), opened)
    assert.strictEqual(server.receive(inFlight[2]!, 20), opened)
    assert.strictEqual(server.receive(updatedSlow, 30), opened)
    assert.strictEqual(server.receive(inFlight[1]!, 40), opened)
    assert.strictEqual(server.keys.openedGeneration, 0)
    assert.strictEqual(server.keys.failures, 0)
  })

  it("mp-quic-go 2.D: a path with low numbers is not judged by one with high numbers", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    client.next.set(1, 1_000_000)
    exchange(client, server, 0, 1)
    const slow = client.send(0)
    client.keys.initiateUpdate(0, PTO)
    // The update shows on the path with the high numbers first, then on the other, both with and without reordering.
    assert.strictEqual(server.receive(client.send(1), 1), peerUpdate)
    const low = client.send(0)
    assert.strictEqual(server.receive(low, 2), opened)
    assert.strictEqual(server.receive(slow, 3), opened)
    assert.strictEqual(server.receive(client.send(1), 4), opened)
    // Acks of old packets with high numbers do not look like acks of new ones with low numbers.
    const ackedOld = server.keys.openedGeneration
    assert.strictEqual(ackedOld, 1)
    assert.isTrue(client.keys.onAckReceived(1, 1_000_000, 0, 5))
    assert.isFalse(client.keys.onAckReceived(0, low.packetNumber, 0, 5))
  })

  it("a path without packets of the current phase takes part in the next update", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    exchange(client, server, 0, 7)
    client.keys.initiateUpdate(0, PTO)
    exchange(client, server, 0, 0)
    server.keys.keepPreviousUntil(3 * PTO)
    assert.isTrue(client.keys.initiateUpdate(1000, PTO))
    assert.strictEqual(server.receive(client.send(7), 1000), peerUpdate)
    assert.strictEqual(server.keys.readGeneration, 2)
  })

  it("a path that opens after the update starts in the current phase", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    client.keys.initiateUpdate(0, PTO)
    exchange(client, server, 0, 0)
    assert.strictEqual(server.receive(client.send(9), 0), opened)
    assert.strictEqual(server.keys.openedGeneration, 1)
  })

  for (const pathId of [0, 1]) {
    it(`an update while the keys before the current ones are still kept, on path ${pathId}`, () => {
      const { client, server } = pair()
      exchange(client, server, 0, 0)
      exchange(client, server, 0, 1)
      client.keys.initiateUpdate(0, 0)
      exchange(client, server, 0, 0)
      exchange(client, server, 0, 1)
      server.keys.keepPreviousUntil(3 * PTO)
      assert.isTrue(client.keys.initiateUpdate(1, 0))
      assert.strictEqual(server.receive(client.send(pathId), 1), peerUpdate)
      assert.strictEqual(server.keys.readGeneration, 2)
    })
  }

  it("previous keys are kept until there is a deadline, whatever the last one was", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    client.keys.initiateUpdate(0, PTO)
    exchange(client, server, 0)
    server.keys.keepPreviousUntil(300)
    const late = client.send()
    client.keys.initiateUpdate(1000, PTO)
    assert.strictEqual(server.receive(client.send(), 1000), peerUpdate)
    assert.strictEqual(server.receive(late, 1001), opened)
  })

  it("a path that was forgotten starts afresh", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    server.receive(client.send(2, 500))
    server.keys.forgetPath(2)
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(2, 10), 0), peerUpdate)
  })
})

describe("KEY_UPDATE_ERROR (RFC 9001 sections 6.2 and 6.4)", () => {
  it("6.4: a packet of the current phase below one of the phase before", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    exchange(client, server, 0, 1)
    const tooHigh = client.send(1, 900)
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(0)), peerUpdate)
    assert.strictEqual(server.receive(tooHigh), opened)
    assert.strictEqual(server.receive(client.send(1, 899)), violation)
  })

  it("6.4: the same, when the phase before was over on the other paths only", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    server.receive(client.send(1, 900))
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(0)), peerUpdate)
    assert.strictEqual(server.receive(client.send(1, 899)), violation)
  })

  it("6.4: an update with a number below those of the phase before", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    server.receive(client.send(0, 900))
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(0, 899)), violation)
  })

  it("6.4: the same numbers on different paths are no violation", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    server.receive(client.send(0, 900))
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send(1, 5)), peerUpdate)
    assert.strictEqual(server.receive(client.send(0, 901)), opened)
  })

  it("6.2: an ack under old keys for a packet under new ones", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    client.keys.initiateUpdate(0, PTO)
    const packet = client.send()
    assert.strictEqual(client.receive(server.send()), opened)
    assert.isTrue(client.keys.onAckReceived(0, packet.packetNumber - 1, client.keys.openedGeneration, 1))
    assert.isFalse(client.keys.onAckReceived(0, packet.packetNumber, client.keys.openedGeneration, 1))
  })

  it("6.2: an ack for a path that sent nothing under the new keys is none", () => {
    const { client, server } = pair()
    exchange(client, server, 0, 0)
    exchange(client, server, 0, 1)
    client.keys.initiateUpdate(0, PTO)
    client.send(0)
    client.receive(server.send())
    assert.isTrue(client.keys.onAckReceived(1, 1_000_000, 0, 1))
    assert.isTrue(client.keys.onAckReceived(77, 3, 0, 1))
  })

  for (const answered of [false, true]) {
    it(`6.2: a second update ${answered ? "after the first was answered" : "before anything was sent under the first"}`, () => {
      const { client, server } = pair()
      exchange(client, server, 0)
      // A twin of the server answers the client's first update, of which the server itself need not have sent anything.
      const twin = new End(new KeyPhases(nodeProtection, suite, Version.v1, clientSecret, serverSecret))
      twin.next.set(0, 50)
      client.keys.initiateUpdate(0, PTO)
      const first = client.send()
      assert.strictEqual(twin.receive(first), peerUpdate)
      assert.strictEqual(client.receive(twin.send()), updateAnswered)
      client.keys.onAckReceived(0, first.packetNumber, 1, 0)
      assert.isTrue(client.keys.initiateUpdate(1000, PTO))

      assert.strictEqual(server.receive(first, 0), peerUpdate)
      server.keys.keepPreviousUntil(10)
      if (answered) server.send()
      assert.strictEqual(server.receive(client.send(), 1000), answered ? peerUpdate : violation)
    })
  }
})

describe("forged packets", () => {
  it("6.3: keys of the next phase are made once, however many packets ask for them", () => {
    let made = 0
    const counting: PacketProtection = {
      ...nodeProtection,
      packetKey: (...args) => {
        made++
        return nodeProtection.packetKey(...args)
      }
    }
    const { client, server } = pair({ protection: counting })
    exchange(client, server, 0)
    const packet = client.send()
    made = 0
    for (let i = 0; i < 20; i++) assert.strictEqual(server.receiveForged(packet, 1), failed)
    assert.strictEqual(made, 1)
    assert.strictEqual(server.keys.failures, 20)
    assert.strictEqual(server.keys.readGeneration, 0)
    assert.strictEqual(server.keys.writePhase, 0)
    // The real update still works, with the key that was made for the forged ones.
    client.keys.initiateUpdate(0, PTO)
    const update = client.send()
    made = 0
    assert.strictEqual(server.receive(update), peerUpdate)
    assert.strictEqual(made, 1)
  })

  it("do not move numbers, phases or acks", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    const far = client.send(0, 5000)
    assert.strictEqual(server.receiveForged(far, 0), failed)
    client.next.set(0, 10)
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send()), peerUpdate)
  })
})

describe("AEAD limits (RFC 9001 section 6.6, NON-7)", () => {
  it("are those of the RFC", () => {
    for (const aead of ["aes-128-gcm", "aes-256-gcm"] as const) {
      const limits = aeadLimits(aead)
      assert.strictEqual(limits.confidentiality, 2 ** 23)
      assert.strictEqual(limits.integrity, 2 ** 52)
      assert.isBelow(limits.updateInterval, limits.confidentiality)
    }
    assert.strictEqual(aeadLimits(TLS_CHACHA20_POLY1305_SHA256.aead).integrity, 2 ** 36)
    assert.strictEqual(aeadLimits(TLS_CHACHA20_POLY1305_SHA256.aead).confidentiality, Infinity)
  })

  it("an update is due at half of the confidentiality limit, over all paths, and starts the count again", () => {
    const { client, server } = pair()
    exchange(client, server, 0)
    client.keys.sealed(2 ** 22 - 2)
    assert.isFalse(client.keys.needsUpdate)
    client.send(5)
    assert.isTrue(client.keys.needsUpdate)
    assert.isFalse(client.keys.limitReached)
    client.keys.initiateUpdate(0, PTO)
    assert.isFalse(client.keys.needsUpdate)
  })

  it("the peer's update starts the count again", () => {
    const { client, server } = pair({ limits: { updateInterval: 10 } })
    exchange(client, server, 0)
    server.keys.sealed(10)
    assert.isTrue(server.keys.needsUpdate)
    client.keys.initiateUpdate(0, PTO)
    server.receive(client.send())
    assert.isFalse(server.keys.needsUpdate)
  })

  it("the connection has to close while there is room to say so", () => {
    const { client } = pair()
    client.keys.sealed(2 ** 23 - 4097)
    assert.isFalse(client.keys.limitReached)
    client.keys.sealed(1)
    assert.isTrue(client.keys.limitReached)
  })

  it("failures count over all keys of the connection", () => {
    const { client, server } = pair({ limits: { integrity: 3 } })
    exchange(client, server, 0)
    assert.strictEqual(server.receiveForged(client.send(), 0), failed)
    assert.strictEqual(server.receiveForged(client.send(), 1), failed)
    client.keys.initiateUpdate(0, PTO)
    assert.strictEqual(server.receive(client.send()), peerUpdate)
    assert.isFalse(server.keys.limitReached)
    assert.strictEqual(server.receiveForged(client.send(), 1), failed)
    assert.isTrue(server.keys.limitReached)
  })
})

describe("keys are freed", () => {
  it("each one that was made, once", () => {
    const open = new Set<object>()
    const tracked: PacketProtection = {
      name: "tracked",
      packetKey: (...args) => {
        const key = nodeProtection.packetKey(...args)
        const handle = {
          seal: (burst: PacketBurst, from: number, to: number) => key.seal(burst, from, to),
          open: (burst: PacketBurst, index: number) => key.open(burst, index),
          close: () => assert.isTrue(open.delete(handle))
        }
        open.add(handle)
        return handle
      },
      headerKey: (...args) => {
        const key = nodeProtection.headerKey(...args)
        const handle = { masks: key.masks, close: () => assert.isTrue(open.delete(handle)) }
        open.add(handle)
        return handle
      }
    }
    const { client, server } = pair({ protection: tracked })
    assert.strictEqual(open.size, 8)
    let now = 0
    exchange(client, server, now)
    for (let i = 0; i < 4; i++) {
      now += 1000
      assert.isTrue(client.keys.initiateUpdate(now, PTO))
      exchange(client, server, now)
      // With and without a deadline: the next update frees what is left.
      for (const end of i % 2 === 0 ? [] : [client, server]) {
        end.keys.keepPreviousUntil(now + 3 * PTO)
        end.keys.dropPrevious(now + 3 * PTO - 1)
      }
      // Two header keys, write, previous and current at each end.
      assert.strictEqual(open.size, 10)
    }
    server.keys.dropPrevious(now + 3 * PTO)
    assert.strictEqual(open.size, 9)
    server.receiveForged(client.send(), 1 ^ (server.keys.readGeneration & 1), now)
    client.keys.close()
    server.keys.close()
    assert.strictEqual(open.size, 0)
  })
})
