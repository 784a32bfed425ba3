import { assert, describe, it } from "@effect/vitest"
import type { DeliverySample } from "../../src/CongestionControl.ts"
import { Bbr } from "../../src/internal/congestion/Bbr.ts"
import type { BbrState } from "../../src/internal/congestion/Bbr.ts"
import { seeded } from "../recovery/support.ts"
import { MSS, TestPath } from "./support.ts"

const RTT = 100
/** Bytes per ms: 10 Mbit/s, so that 125 kB fill the path. */
const RATE = 1250
const BDP = RATE * RTT

type Facts = Partial<Omit<DeliverySample, "markAppLimited">>

/** Hands a controller what one acknowledgement a round would say. */
class Feed {
  readonly path = new TestPath()
  readonly bbr: Bbr
  now = 0
  delivered = 0
  limited = 0
  limitedNow = false
  private packetNumber = 0

  constructor() {
    this.path.setRtt(RTT)
    this.bbr = new Bbr(this.path)
  }

  sample(facts: Facts = {}): DeliverySample {
    const deliveredSince = facts.deliveredSince ?? Math.max(MSS, (facts.rate ?? RATE) * RTT)
    return {
      delivered: this.delivered,
      newlyAcked: deliveredSince,
      sentTime: this.now - RTT,
      // A little less each time, so that no probe for the shortest round trip comes between.
      rtt: RTT - this.now * 1e-9,
      priorDelivered: this.delivered - deliveredSince,
      deliveredSince,
      rate: RATE,
      inFlightAtSend: BDP,
      lostSince: 0,
      appLimited: false,
      limitedNow: this.limitedNow,
      bytesInFlight: BDP,
      markAppLimited: () => this.limited++,
      ...facts
    }
  }

  /** A round trip later, one acknowledgement of a whole flight. */
  round(facts: Facts = {}, rtt?: number): void {
    this.now += rtt ?? RTT
    this.delivered += facts.newlyAcked ?? Math.max(MSS, (facts.rate ?? RATE) * RTT)
    this.bbr.onDelivered(this.now, this.sample(rtt === undefined ? facts : { rtt, ...facts }))
  }

  lose(facts: Facts = {}, packets = 1, gap = 2): void {
    const { sentTime = this.now - RTT } = facts
    for (let i = 0; i < packets; i++) {
      this.packetNumber += gap
      this.bbr.onPacketLost(this.now, this.packetNumber, MSS, this.sample(facts))
    }
    this.bbr.onCongestion(this.now, sentTime, packets * MSS, false)
  }

  /** Rounds until a state is reached; fails if it is not. */
  until(state: BbrState, limit: number, facts: Facts = {}): number {
    for (let i = 0; i <= limit; i++) {
      if (this.bbr.state === state) return i
      this.round(facts)
    }
    throw new Error(`${this.bbr.state} after ${limit} rounds, not ${state}`)
  }

  /** Past Startup, without a queue. */
  steady(rate = RATE): this {
    for (const part of [0.25, 0.5, 1]) this.round({ rate: part * rate })
    this.until("probeCruise", 12, { rate, bytesInFlight: (rate * RTT) / 2 })
    return this
  }
}

describe("BBR (draft-ietf-ccwg-bbr)", () => {
  it("starts as every flow does, and leaves pacing alone until there is a sample", () => {
    const { bbr } = new Feed()
    assert.strictEqual(bbr.congestionWindow, 10 * MSS)
    assert.strictEqual(bbr.pacingRate, 0)
    assert.strictEqual(bbr.slowStartThreshold, Infinity)
    assert.strictEqual(bbr.state, "startup")
  })

  it("doubles in Startup, and leaves it after three rounds without 25 % more (5.3.1.2)", () => {
    const feed = new Feed()
    for (const part of [0.25, 0.5, 1, 1.2, 1.24]) {
      feed.round({ rate: part * RATE })
      assert.strictEqual(feed.bbr.state, "startup")
      assert.approximately(feed.bbr.pacingRate, 2.77 * 0.99 * part * RATE, 1e-6)
    }
    feed.round({ rate: 1.2 * RATE, bytesInFlight: 3 * BDP })
    assert.strictEqual(feed.bbr.state, "drain")
    assert.approximately(feed.bbr.pacingRate, 0.5 * 0.99 * 1.24 * RATE, 1e-6)
    assert.strictEqual(feed.bbr.slowStartThreshold, 0)
  })

  it("does not take the application's limit for the path's", () => {
    const feed = new Feed()
    feed.round({ rate: RATE })
    for (let i = 0; i < 20; i++) feed.round({ rate: RATE / 10, appLimited: true })
    assert.strictEqual(feed.bbr.state, "startup")
    assert.strictEqual(feed.bbr.model.maxBw, RATE)
    feed.round({ rate: 2 * RATE, appLimited: true })
    assert.strictEqual(feed.bbr.model.maxBw, 2 * RATE)
  })

  it("leaves Startup after a round with 6 runs of losses and more than 2 %, not for fewer (5.3.1.3)", () => {
    for (const [runs, lost, state] of [
      [5, 0.05, "startup"],
      [6, 0.019, "startup"],
      [6, 0.021, "drain"]
    ] as const) {
      const feed = new Feed()
      feed.round({ rate: RATE })
      feed.lose({}, runs)
      feed.round({ rate: 2 * RATE, lostSince: lost * BDP, bytesInFlight: 5 * BDP })
      assert.strictEqual(feed.bbr.state, state, `${runs} runs, ${lost}`)
      if (state === "drain") assert.isAtLeast(feed.bbr.model.inflightLongterm, BDP)
    }
  })

  it("a mark ends Startup too", () => {
    const feed = new Feed()
    feed.round({ rate: RATE })
    feed.bbr.onCongestion(feed.now, feed.now - RTT, 0, true)
    feed.round({ rate: 2 * RATE, bytesInFlight: 5 * BDP })
    assert.strictEqual(feed.bbr.state, "drain")
  })

  it("drains until what is in flight fits the path, or for three rounds (5.3.2)", () => {
    for (const queue of [0, BDP]) {
      const feed = new Feed()
      feed.until("drain", 8, { bytesInFlight: 2 * BDP })
      let rounds = 0
      for (; feed.bbr.state === "drain" && rounds < 9; rounds++) feed.round({ bytesInFlight: 0.99 * BDP + queue })
      assert.strictEqual(rounds, queue === 0 ? 1 : 4)
    }
  })

  it("cruises without a queue, and probes when CUBIC would have recovered: refill for a round, then up, then down", () => {
    const feed = new Feed().steady()
    const { bbr } = feed
    assert.approximately(bbr.pacingRate, 0.99 * RATE, 1e-6)
    const rounds = feed.until("probeRefill", 60)
    // RFC 9438 section 4.2; some rounds of the wait have passed.
    const recovery = 1000 * Math.cbrt((0.3 * BDP) / MSS / 0.4)
    assert.isAbove(recovery, 4000)
    assert.isAtLeast(rounds * RTT, recovery - 3 * RTT)
    assert.isAtMost(rounds * RTT, recovery + RTT)
    feed.round()
    assert.strictEqual(bbr.state, "probeUp")
    assert.approximately(bbr.pacingRate, 1.25 * 0.99 * RATE, 1e-6)
    // The rate does not grow any more.
    assert.strictEqual(feed.until("probeDown", 5), 3)
    assert.approximately(bbr.pacingRate, 0.9 * 0.99 * RATE, 1e-6)
    assert.strictEqual(bbr.model.inflightLongterm, Infinity)
  })

  it("waits two to three seconds where CUBIC needs less, and never more than 63 rounds (5.3.3.8.3)", () => {
    const small = RATE / 20
    const rounds = new Feed().steady(small).until("probeRefill", 60, { rate: small, bytesInFlight: small * RTT })
    assert.isAtMost(rounds * RTT, 3000)
    const large = 40 * RATE
    assert.isAbove(1000 * Math.cbrt((0.3 * large * RTT) / MSS / 0.4), 64 * RTT)
    const feed = new Feed().steady(large)
    assert.isAtMost(feed.until("probeRefill", 70, { rate: large, bytesInFlight: large * RTT }), 63)
  })

  it("finds more when there is more", () => {
    const feed = new Feed().steady()
    feed.until("probeUp", 60)
    for (let i = 1; i < 5; i++) feed.round({ rate: RATE * 1.25 ** i })
    assert.strictEqual(feed.bbr.state, "probeUp")
    assert.approximately(feed.bbr.model.maxBw, RATE * 1.25 ** 4, 1e-6)
  })

  it("ends a probe at more than 2 % lost, and remembers what was in flight (5.5.10.2)", () => {
    const feed = new Feed().steady()
    feed.until("probeUp", 60)
    feed.lose({ inFlightAtSend: 1.5 * BDP, lostSince: 0.019 * 1.5 * BDP })
    assert.strictEqual(feed.bbr.state, "probeUp")
    feed.lose({ inFlightAtSend: 1.5 * BDP, lostSince: 0.025 * 1.5 * BDP })
    assert.strictEqual(feed.bbr.state, "probeDown")
    const { inflightLongterm } = feed.bbr.model
    assert.isAtMost(inflightLongterm, 1.5 * BDP)
    assert.isAtLeast(inflightLongterm, 1.4 * BDP)
    // It cruises below that, with room for others.
    feed.until("probeCruise", 5, { bytesInFlight: BDP / 2 })
    assert.isAtMost(feed.bbr.congestionWindow, 0.85 * inflightLongterm)
    // The next probe is a cautious one, and without losses another follows at once.
    feed.until("probeUp", 60, { rtt: RTT - 1, bytesInFlight: BDP / 2 })
    assert.isBelow(feed.bbr.congestionWindow, inflightLongterm + MSS)
    feed.round({ bytesInFlight: BDP / 2 })
    assert.strictEqual(feed.bbr.state, "probeUp")
    feed.bbr.onPacketSent(feed.now, MSS, inflightLongterm - MSS / 2)
    feed.round({ bytesInFlight: BDP / 2 })
    assert.strictEqual(feed.bbr.state, "probeDown")
    feed.until("probeRefill", 2, { bytesInFlight: BDP / 2 })
  })

  it("a mark ends a probe", () => {
    const feed = new Feed().steady()
    feed.until("probeUp", 60)
    feed.bbr.onCongestion(feed.now, feed.now - RTT, 0, true)
    feed.round({ inFlightAtSend: 1.3 * BDP })
    assert.strictEqual(feed.bbr.state, "probeDown")
    assert.strictEqual(feed.bbr.model.inflightLongterm, 1.3 * BDP)
  })

  for (const ecn of [false, true]) {
    it(`answers ${ecn ? "marks" : "losses"} once a round while it does not probe, down to what arrives (5.5.10.3)`, () => {
      const feed = new Feed().steady()
      const { model } = feed.bbr
      const signal = (): void => {
        if (ecn) feed.bbr.onCongestion(feed.now, feed.now - RTT, 0, true)
        else for (let i = 0; i < 5; i++) feed.lose({ lostSince: MSS })
      }
      signal()
      feed.round({ rate: 0.8 * RATE })
      assert.approximately(model.bwShortterm, RATE, 1e-6)
      signal()
      feed.round({ rate: 0.5 * RATE })
      assert.approximately(model.bwShortterm, 0.8 * RATE, 1e-6)
      signal()
      feed.round({ rate: 0.3 * RATE })
      assert.approximately(model.bwShortterm, 0.7 * 0.8 * RATE, 1e-6)
      assert.approximately(model.bw, model.bwShortterm, 1e-6)
      assert.strictEqual(model.maxBw, RATE)
      // A new cycle begins with what the path was seen to take.
      feed.until("probeRefill", 40)
      assert.strictEqual(model.bwShortterm, Infinity)
    })
  }

  it("sends less for 200 ms when no round trip was short for 5 s, and goes on as before (5.3.4)", () => {
    const feed = new Feed()
    for (const part of [0.25, 0.5, 1]) feed.round({ rate: part * RATE }, 50)
    const from = feed.now
    while (feed.bbr.state !== "probeRtt" && feed.now < 20_000) feed.round({ bytesInFlight: 2 * BDP })
    assert.isAbove(feed.now - from, 4800)
    assert.isAtMost(feed.now - from, 5300)
    assert.isAtMost(feed.bbr.congestionWindow, 0.5 * RATE * 50 + 1e-6)
    const held = feed.now
    feed.until("probeCruise", 6, { bytesInFlight: 0.4 * RATE * 50, rate: RATE / 3, appLimited: true })
    assert.isAtLeast(feed.now - held, 200)
    assert.isAbove(feed.limited, 0)
    assert.strictEqual(feed.bbr.model.maxBw, RATE)
    assert.isAtLeast(feed.bbr.congestionWindow, RATE * 50)
  })

  it("after silence it goes on at its rate, and does not stop to look for the round trip (5.4)", () => {
    const feed = new Feed().steady()
    feed.limitedNow = true
    feed.round({ bytesInFlight: 0 })
    feed.limitedNow = false
    feed.now += 6000
    feed.bbr.onPacketSent(feed.now, MSS, MSS)
    assert.approximately(feed.bbr.pacingRate, 0.99 * RATE, 1e-6)
    feed.round({ appLimited: true, rate: RATE / 50 })
    assert.notStrictEqual(feed.bbr.state, "probeRtt")
    assert.strictEqual(feed.bbr.model.maxBw, RATE)
  })

  it("takes losses back that were none (5.5.11)", () => {
    const feed = new Feed().steady()
    feed.until("probeUp", 60)
    const { congestionWindow } = feed.bbr
    // The probe ends at the second of these; what the others save must not be what it has reduced.
    for (const lost of [0.01, 0.05, 0.1, 0.11]) {
      feed.lose({ sentTime: feed.now - RTT, inFlightAtSend: 1.5 * BDP, lostSince: lost * BDP })
    }
    assert.strictEqual(feed.bbr.state, "probeDown")
    assert.isBelow(feed.bbr.model.inflightLongterm, 1.5 * BDP)
    feed.bbr.onSpuriousLoss()
    assert.strictEqual(feed.bbr.state, "probeRefill")
    assert.strictEqual(feed.bbr.model.inflightLongterm, Infinity)
    assert.isAtLeast(feed.bbr.congestionWindow, congestionWindow)
  })

  it("persistent congestion takes the window to its minimum, from where it grows with what arrives (5.6.4.4)", () => {
    const feed = new Feed().steady()
    feed.bbr.onPersistentCongestion()
    assert.strictEqual(feed.bbr.congestionWindow, 2 * MSS)
    feed.round({ newlyAcked: MSS, rate: 100, sentTime: -1 })
    assert.strictEqual(feed.bbr.congestionWindow, 4 * MSS)
    for (let i = 0; i < 10; i++) feed.round()
    assert.isAtLeast(feed.bbr.congestionWindow, BDP)
  })

  it("another address is another path", () => {
    const feed = new Feed().steady()
    feed.bbr.reset(feed.now)
    assert.strictEqual(feed.bbr.state, "startup")
    assert.strictEqual(feed.bbr.congestionWindow, 10 * MSS)
    assert.strictEqual(feed.bbr.pacingRate, 0)
    feed.round({ rate: RATE / 10 }, 2 * RTT)
    assert.strictEqual(feed.bbr.model.maxBw, RATE / 10)
    assert.strictEqual(feed.bbr.model.minRtt, 2 * RTT)
  })

  it("needs no sample of the round trip where acknowledgements take other ways", () => {
    const feed = new Feed()
    for (let i = 0; i < 10; i++) feed.round({ rtt: -1 })
    assert.isAtLeast(feed.bbr.congestionWindow, BDP)
  })

  it("whatever happens, window and rate are such that the path goes on (property)", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed)
      const feed = new Feed()
      feed.path.random = random
      const { bbr } = feed
      for (let i = 0; i < 400; i++) {
        const what = random()
        const at = `seed ${seed}, step ${i}`
        if (what < 0.7) {
          const rate = random() < 0.1 ? 0 : 10 ** (random() * 6)
          feed.round({
            rate,
            appLimited: random() < 0.2,
            inFlightAtSend: MSS * (1 + Math.floor(random() * 1000)),
            bytesInFlight: MSS * Math.floor(random() * 1000),
            lostSince: random() < 0.3 ? MSS * Math.floor(random() * 20) : 0,
            rtt: random() < 0.1 ? -1 : 1 + random() * 500
          })
          assert.isAtMost(bbr.model.bw, bbr.model.maxBw, at)
          assert.isAtLeast(bbr.congestionWindow, 4 * MSS, at)
          assert.isAbove(bbr.model.inflightLongterm, 0, at)
        } else if (what < 0.85) feed.lose({ lostSince: MSS * Math.floor(random() * 20) }, 1 + Math.floor(random() * 10))
        else if (what < 0.9) bbr.onCongestion(feed.now, feed.now, 0, true)
        else if (what < 0.95) bbr.onSpuriousLoss()
        else if (what < 0.96) bbr.onPersistentCongestion()
        else if (what < 0.97) bbr.reset(feed.now)
        else {
          feed.now += random() * 20_000
          bbr.onPacketSent(feed.now, MSS, MSS * (1 + Math.floor(random() * 3)))
        }
        assert.isTrue(Number.isFinite(bbr.congestionWindow) && bbr.congestionWindow >= 2 * MSS, at)
        assert.isTrue(Number.isFinite(bbr.pacingRate) && bbr.pacingRate >= 0, at)
        if (bbr.model.maxBw > 0) assert.isAbove(bbr.pacingRate, 0, at)
      }
    }
  })
})
