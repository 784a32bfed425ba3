import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { fromQuic } from "../../src/cli/Failure.ts"
import * as QuicError from "../../src/QuicError.ts"

/** What only programs can set or call. */
const api =
  /\b(Tls\.\w+|UdpSocket\.\w+|layer[A-Z]\w*|\w+Timeout|keepAlive|serverName|openPath|maxConnections|maxDatagramSize|maxPaths|alpn)\b/

const after = Duration.seconds(3)

const reasons: ReadonlyArray<readonly [QuicError.Reason, code: number]> = [
  [new QuicError.ConnectionRefused({ reason: "" }), 4],
  [new QuicError.HandshakeFailed({ alert: 40, message: "no" }), 4],
  [new QuicError.CertificateRefused({ why: "expired", message: "it is; Tls.layerTrustInsecure", alert: 45 }), 5],
  [new QuicError.HandshakeTimeout({ after, network: ["ECONNREFUSED"] }), 4],
  [new QuicError.HandshakeTimeout({ after }), 4],
  [new QuicError.IdleTimeout({ after }), 1],
  [new QuicError.TransportClosed({ code: 1, initiator: "peer", reason: "", frameType: 0 }), 1],
  [new QuicError.ApplicationClosed({ code: 1, initiator: "peer", reason: "" }), 1],
  [new QuicError.StatelessReset({}), 1],
  [new QuicError.AddressInUse({ address: "127.0.0.1:1" }), 7],
  [new QuicError.AddressUnavailable({ address: "127.0.0.1:1" }), 7],
  [new QuicError.AddressUnreachable({ address: "192.0.2.1:1" }), 4],
  [new QuicError.AddressUnreachable({ address: "192.0.2.1:1", local: "::1", code: "EINVAL" }), 4],
  [new QuicError.ResolveFailed({ host: "example.test" }), 4],
  [new QuicError.SocketFailed({ operation: "bind", address: "127.0.0.1:1", code: "EACCES" }), 7],
  [new QuicError.SocketFailed({ operation: "receive", address: "127.0.0.1:1", code: "EIO" }), 1]
]

describe("failures of the library", () => {
  for (const [reason, code] of reasons) {
    it(`D11: advise what this program has: ${reason.name}`, () => {
      const failure = fromQuic(new QuicError.QuicError({ reason }))
      assert.notMatch(failure.message, api)
      assert.strictEqual(failure.code, code)
    })
  }
})
