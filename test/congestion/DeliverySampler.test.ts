import { assert, describe, it } from "@effect/vitest"
import type { ConnectionControllers, Controller, DeliverySample } from "../../src/CongestionControl.ts"
import { GuardedController } from "../../src/internal/congestion/Guard.ts"
import { Space } from "../../src/internal/recovery/PathRecovery.ts"
import { Bench, SpyController } from "../recovery/support.ts"
import { TestPath } from "./support.ts"

/** Keeps what it is told. */
class Sampled extends SpyController {
  readonly samples: Array<Omit<DeliverySample, "markAppLimited">> = []
  readonly losses: Array<readonly [packetNumber: number, bytes: number, lostSince: number, inFlightAtSend: number]> = []
  readonly onDelivered = (_now: number, sample: DeliverySample): void => {
    this.samples.push({ ...sample })
  }
  readonly onPacketLost = (_now: number, packetNumber: number, bytes: number, sample: DeliverySample): void => {
    this.losses.push([packetNumber, bytes, sample.lostSince, sample.inFlightAtSend])
  }
}

const make = (): { bench: Bench; spy: Sampled } => {
  const spy = new Sampled()
  const controllers: ConnectionControllers = { make: () => spy }
  return { bench: new Bench({ controllers }), spy }
}

describe("Delivery rate samples (draft-ietf-ccwg-bbr section 4.1)", () => {
  it("is what was delivered since the packet left, over the longer of sending and acknowledging", () => {
    const { bench, spy } = make()
    for (let i = 0; i < 10; i++) bench.send(i * 10)
    for (let i = 0; i < 10; i++) bench.ack(100 + i * 20, [[0, i]])
    // One packet per 20 ms comes back, whatever they left at. The first RTT has no packet delivered before.
    const first = spy.samples[0]!
    assert.deepInclude(first, { delivered: 1200, newlyAcked: 1200, deliveredSince: 1200, rtt: 100, rate: 12 })
    const n = bench.send(300)
    bench.ack(400, [[0, n]])
    // Nothing was in flight when it left: the flight begins with it.
    assert.deepInclude(spy.samples.at(-1)!, { deliveredSince: 1200, rate: 12, inFlightAtSend: 1200, bytesInFlight: 0 })
  })

  it("follows the bottleneck, not the acknowledgements that come in lumps", () => {
    const { bench, spy } = make()
    // Sent at 120 bytes/ms, acknowledged five at a time.
    for (let i = 0; i < 40; i++) {
      bench.send(i * 10)
      if (i >= 14 && i % 5 === 4) bench.ack(i * 10, [[0, i - 10]])
    }
    for (const sample of spy.samples.slice(2)) assert.isAtMost(sample.rate, 120.001)
    assert.approximately(spy.samples.at(-1)!.rate, 120, 1)
  })

  it("says so while the application is the limit, until that flight is over", () => {
    const { bench, spy } = make()
    bench.send(0)
    bench.path.onNothingToSend(0)
    bench.send(1)
    bench.ack(100, [[0, 1]])
    bench.send(100)
    bench.ack(200, [[0, 2]])
    bench.send(200)
    bench.ack(300, [[0, 3]])
    assert.deepStrictEqual(
      spy.samples.map((sample) => sample.appLimited),
      [true, false, false]
    )
    // The window, not the application.
    spy.congestionWindow = 1200
    bench.send(300)
    bench.path.onNothingToSend(300)
    bench.send(301)
    bench.ack(400, [[0, 5]])
    assert.isFalse(spy.samples.at(-1)!.appLimited)
  })

  it("tells of each lost packet, and counts them for those that left before", () => {
    const { bench, spy } = make()
    for (let i = 0; i < 10; i++) bench.send(i)
    bench.ack(100, [[6, 9]])
    assert.deepStrictEqual(
      spy.losses.map(([n, , lost, inFlight]) => [n, lost, inFlight]),
      Array.from({ length: spy.losses.length }, (_, i) => [i, 1200 * (i + 1), 1200 * (i + 1)])
    )
    assert.isAbove(spy.losses.length, 3)
    assert.deepInclude(spy.samples[0]!, {
      newlyAcked: 4800,
      lostSince: 1200 * spy.losses.length,
      inFlightAtSend: 12_000
    })
  })

  it("survives the growth of the ring, and takes nothing where nobody asks", () => {
    const { bench, spy } = make()
    for (let i = 0; i < 500; i++) bench.send(i)
    bench.ack(600, [[0, 499]])
    assert.deepInclude(spy.samples[0]!, { newlyAcked: 600_000, inFlightAtSend: 600_000, rate: 1000 })
    assert.isUndefined(new Bench().path.sent(Space.application)!.delivery)
  })

  it("a guarded controller gets them too, if it wants them", () => {
    const guard = (own: Controller): GuardedController => new GuardedController(own, new TestPath(), () => {})
    assert.isUndefined(guard(new SpyController()).onDelivered)
    const spy = new Sampled()
    const bench = new Bench({ controllers: { make: () => guard(spy) } })
    bench.send(0)
    bench.ack(100, [[0, 0]])
    assert.strictEqual(spy.samples.length, 1)
  })
})
