import { assert, describe, it } from "@effect/vitest"
import { ed25519 } from "./fixtures.ts"
import { Level, accept, asSent, pair, run, seeded } from "./loopback.ts"
import type { PairOptions, Sent } from "./loopback.ts"
import { twoGroups } from "./tampering.ts"

/** How many bytes a side sends in a whole handshake. */
const lengths = (from: "client" | "server", options: PairOptions): number => {
  let total = 0
  run(pair(options), (sent, sender) => {
    if (sender === from) for (const { bytes: message } of sent) total += message.length
    return sent
  })
  return total
}

/** Changes byte `at` of all that a side sends. */
const corrupting = (from: "client" | "server", at: number, mask: number) => {
  let before = 0
  return (sent: ReadonlyArray<Sent>, sender: "client" | "server"): ReadonlyArray<Sent> =>
    sender !== from
      ? sent
      : sent.map(({ bytes: message, level }) => {
          const offset = at - before
          before += message.length
          if (offset < 0 || offset >= message.length) return { level, bytes: message }
          return { level, bytes: message.with(offset, message[offset]! ^ mask) }
        })
}

describe("hostile bytes", () => {
  /** A side of a handshake, whose bytes are changed. */
  const flights: ReadonlyArray<readonly [string, "client" | "server", PairOptions]> = [
    ["client", "client", { client: { identity: ed25519 }, server: { clientAuth: "require", verifyClient: accept } }],
    ["server", "server", { client: { identity: ed25519 }, server: { clientAuth: "require", verifyClient: accept } }],
    ["retried client", "client", twoGroups],
    ["retried server", "server", twoGroups]
  ]

  for (const [name, from, options] of flights) {
    it(`a changed byte anywhere in the ${name} flight never completes on both sides, nor throws`, () => {
      const total = lengths(from, options)
      assert.isAbove(total, 200)
      // Masks vary over the bytes, and the whole is walked with a stride that visits every byte.
      for (let at = 0; at < total; at++) {
        const both = pair(options)
        const outcome = run(both, corrupting(from, at, 1 << (at % 8)))
        // What a peer sends is never taken for a fault of ours.
        for (const failure of [outcome.client, outcome.server]) {
          assert.notStrictEqual(failure?.alert, 80, `byte ${at}: ${failure?.message}`)
        }
        const done = [both.client.output.info, both.server.output.info].filter((info) => info !== undefined)
        assert.isBelow(done.length, 2, `byte ${at} of ${total}`)
      }
    })
  }

  it("a flight that is cut short anywhere never completes, nor throws", () => {
    for (const from of ["client", "server"] as const) {
      const total = lengths(from, {})
      for (let at = 1; at < total; at += 7) {
        let left = total - at
        const both = pair()
        run(both, (sent, sender) =>
          sender !== from
            ? sent
            : sent.map(({ bytes: message, level }) => {
                const kept = message.subarray(0, Math.max(0, left))
                left -= message.length
                return { level, bytes: kept }
              })
        )
        assert.isUndefined(from === "client" ? both.server.output.info : both.client.output.info)
      }
    }
  })

  it("random bytes fail or wait for more, and never throw", () => {
    const random = seeded(99)
    for (let round = 0; round < 2000; round++) {
      const { client, server } = pair()
      client.session.start()
      const length = random(1)[0]!
      const message = random(length)
      // Half of them have a header that fits, so that the bodies are reached.
      if (round % 2 === 0 && length >= 4) message.set([round % 4 === 0 ? 1 : 2, 0, 0, length - 4])
      const toClient = client.session.receive(Level.initial, message)
      const toServer = server.session.receive(Level.initial, message)
      for (const failure of [toClient, toServer]) {
        if (failure !== undefined) assert.notStrictEqual(failure.alert, 80, failure.message)
      }
    }
  })

  it("a handshake as sent does complete: what fails above fails for its change", () => {
    for (const [, , options] of flights) {
      assert.deepStrictEqual(run(pair(options), asSent), { client: undefined, server: undefined })
    }
  })
})
