import { assert, describe, it } from "@effect/vitest"
import { awaitPath, openPath, connected } from "../support/Multipath.ts"
import { established } from "../support/Scenario.ts"

describe("acknowledgements", () => {
  it("A5: a datagram of the full size leaves although an acknowledgement is owed", () => {
    for (const less of [0, 1, 3, 5, 20, 60]) {
      const pair = established({ seed: 1, links: [{ mbps: 20, delay: 10 }] })
      const server = pair.server.accepted[0]!
      pair.run(pair.simulator.now + 500)
      const answer = new Uint8Array(server.maxDatagramSize() - less)
      let asked = false
      server.datagrams.readWaiter = () => {
        server.datagrams.read()
        assert.isTrue(server.datagrams.push(answer))
        asked = true
        server.wake()
      }
      pair.connection.datagrams.push(new Uint8Array(10))
      pair.connection.wake()
      pair.run(pair.simulator.now + 200)
      assert.isTrue(asked)
      assert.strictEqual(pair.connection.datagrams.read()?.length, answer.length, `${less} bytes less`)
    }
  })

  it("A10: idle paths of any RTT fall silent, and the connection ends by its idle timeout", () => {
    for (const delay of [20, 100, 120, 200, 400, 700]) {
      const link = { mbps: 10, delay }
      const pair = connected({ links: [link, link] })
      awaitPath(pair, openPath(pair, 1), 20_000)
      pair.run(pair.simulator.now + 10_000)
      const before = pair.connection.stats().packetsSent
      pair.run(pair.simulator.now + 15_000)
      assert.strictEqual(pair.connection.stats().packetsSent, before, `${delay} ms`)
      pair.run(pair.simulator.now + 10_000)
      assert.strictEqual(pair.client.closes[0]?.kind, "idleTimeout", `${delay} ms`)
    }
  })
})
