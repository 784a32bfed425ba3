/**
 * Much data at full speed: the packet path warmed up first, and bytes that are lent instead of given. Counts and hashes
 * 30 MB on their way from a server in the same program.
 *
 *     node examples/bulk.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { Endpoint, Tls, UdpSocket, WarmUp } from "../src/index.ts"

const MB = 1_000_000
const chunk = new Uint8Array(MB).map((_, index) => index % 251)

// Answers a number with so many megabytes.
const SourceLive = Endpoint.serveStreams((stream) =>
  Effect.gen(function* () {
    const megabytes = Number(yield* stream.text)
    for (let sent = 0; sent < megabytes; sent++) yield* stream.write(chunk)
    yield* stream.end()
  })
).pipe(
  Layer.provideMerge(Endpoint.layer({ listen: "127.0.0.1:0", alpn: "bulk" })),
  // A server does this before its first client: V8 compiles what it has seen running.
  Layer.provide(WarmUp.layer({ megabytes: 5 })),
  Layer.provideMerge(Tls.layerSelfSigned())
)

const download = Effect.fn("download")(function* (port: number, megabytes: number) {
  const connection = yield* Endpoint.connect({ host: "127.0.0.1", port, alpn: "bulk" })
  const stream = yield* connection.openStream()
  yield* stream.end(String(megabytes))
  const hash = createHash("sha256")
  let received = 0
  // The memory is used again when the effect is done, so what is to be kept must be copied.
  yield* stream.consume((bytes) =>
    Effect.sync(() => {
      hash.update(bytes)
      received += bytes.length
    })
  )
  return { received, hash: hash.digest("hex") }
}, Effect.scoped)

const program = Effect.gen(function* () {
  const server = yield* Endpoint.Endpoint
  const { fingerprint } = yield* Tls.SelfSigned
  const { hash, received } = yield* download(server.addresses[0]!.port, 30).pipe(
    Effect.provide(Endpoint.layer()),
    Effect.provide(Tls.layerTrustPinned(fingerprint))
  )
  yield* Console.log(`${received} bytes, SHA-256 ${hash}`)
})

program.pipe(Effect.provide(SourceLive), Effect.provide(UdpSocket.layer), NodeRuntime.runMain)
