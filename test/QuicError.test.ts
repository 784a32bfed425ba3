import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as QuicError from "../src/QuicError.ts"
import { isRetryable } from "../src/QuicError.ts"

const after = Duration.seconds(1)

describe("QuicError", () => {
  it("D12: isRetryable: what was lost or refused may be tried again, what is wrong in itself may not", () => {
    const cases: ReadonlyArray<readonly [QuicError.Reason, boolean]> = [
      [new QuicError.ConnectionRefused({}), true],
      [new QuicError.ConnectionClosed({ operation: "x" }), true],
      [new QuicError.HandshakeTimeout({ after }), true],
      [new QuicError.IdleTimeout({ after }), true],
      [new QuicError.StatelessReset({}), true],
      [new QuicError.StreamLimit({}), true],
      [new QuicError.PathFailed({ pathId: 1, why: "validation" }), true],
      [new QuicError.PathUnavailable({ why: "noConnectionIds" }), true],
      [new QuicError.PathUnavailable({ why: "notNegotiated" }), false],
      [new QuicError.AdvertiseUnavailable({ why: "limit" }), false],
      [new QuicError.SocketFailed({ operation: "send", address: "x", code: "ENOBUFS" }), true],
      [new QuicError.AddressUnreachable({ address: "x" }), true],
      [new QuicError.AddressUnavailable({ address: "x" }), true],
      [new QuicError.ResolveFailed({ host: "x" }), true],
      [new QuicError.ApplicationClosed({ code: 0, reason: "", initiator: "peer" }), true],
      [new QuicError.ApplicationClosed({ code: 7, reason: "", initiator: "peer" }), false],
      [new QuicError.TransportClosed({ code: 0x0a, reason: "", frameType: 0, initiator: "peer" }), false],
      [new QuicError.TransportClosed({ code: 1, reason: "", frameType: 0, initiator: "peer" }), true],
      [new QuicError.TransportClosed({ code: 1, reason: "", frameType: 0, initiator: "local" }), false],
      [new QuicError.TransportClosed({ code: 0x0c, reason: "", frameType: 0, initiator: "peer" }), true],
      [new QuicError.HandshakeFailed({ alert: 40, message: "" }), false],
      [new QuicError.CertificateRefused({ why: "expired", message: "", alert: 45 }), false],
      [new QuicError.VersionNegotiationFailed({ offered: [] }), false],
      [new QuicError.StreamReset({ code: 1 }), false],
      [new QuicError.StreamStopped({ code: 1 }), false],
      [new QuicError.DatagramTooLarge({ size: 2, limit: 1 }), false],
      [new QuicError.DatagramsUnavailable({}), false],
      [new QuicError.AddressInUse({ address: "x" }), false],
      [new QuicError.BadConfig({ field: "x", value: "1", allowed: "2" }), false],
      [new QuicError.Internal({ cause: "x" }), false]
    ]
    for (const [reason, expected] of cases) {
      assert.strictEqual(isRetryable(reason), expected, reason.message)
      assert.strictEqual(new QuicError.QuicError({ reason }).isRetryable, expected)
    }
    assert.strictEqual(
      new Set(cases.map(([{ _tag }]) => _tag)).size,
      QuicError.Reason.members.length,
      "every reason is judged"
    )
  })

  it("an address that is not there is told without the port that nobody chose", () => {
    const message = (address: string) => new QuicError.AddressUnavailable({ address }).message
    assert.match(message("192.0.2.1:0"), /^192\.0\.2\.1 is not an address of this host now; give one that is/)
    assert.match(message("[2001:db8::1]:0"), /^\[2001:db8::1\] is not/)
    assert.match(message("192.0.2.1:4430"), /^192\.0\.2\.1:4430 is not/)
  })
})
