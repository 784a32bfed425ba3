import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option, Path, Stream } from "effect"
import { Endpoint, UdpSocket } from "../../src/index.ts"
import type { CliFailure } from "../../src/cli/Failure.ts"
import * as FileServer from "../../src/cli/FileServer.ts"
import { ALPN, findFile, formatRequest, parseRequest, pathSegments, request } from "../../src/cli/Http09.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"

describe("requests of HTTP/0.9", () => {
  it("are one line", () => {
    assert.strictEqual(formatRequest("/a"), "GET /a\r\n")
    for (const line of ["GET /a\r\n", "GET /a\n", "GET /a"]) assert.strictEqual(parseRequest(line), "/a")
    for (const line of ["", "GET", "GET a", "POST /a", "get /a", "GET /a b", "GET /a HTTP/1.1\r\n", "GET /\u0000"])
      assert.isUndefined(parseRequest(line), line)
  })

  it("name a file by segments", () => {
    assert.deepStrictEqual(pathSegments("/a/./b%20c//d?q=/../x"), ["a", "b c", "d"])
    assert.deepStrictEqual(pathSegments("/"), [])
  })

  it("do not lead upwards", () => {
    for (const path of ["/..", "/a/../b", "/%2e%2e/b", "/..%2fb", "/a%5c..", "/%00", "/%", "/%ff"])
      assert.isUndefined(pathSegments(path), path)
  })
})

/** A directory to serve, with a secret beside it. */
const makeTree = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const base = yield* Effect.flatMap(files.makeTempDirectoryScoped(), files.realPath)
  const root = paths.join(base, "root")
  yield* files.makeDirectory(paths.join(root, "sub"), { recursive: true })
  yield* files.writeFileString(paths.join(base, "secret"), "secret")
  yield* files.writeFileString(paths.join(root, "sub", "a.txt"), "hello")
  yield* files.writeFileString(paths.join(root, "empty"), "")
  yield* files.symlink(paths.join(base, "secret"), paths.join(root, "out"))
  yield* files.symlink(paths.join(root, "sub", "a.txt"), paths.join(root, "in"))
  yield* files.symlink(base, paths.join(root, "up"))
  return { base, root }
})

describe("files that are given out", () => {
  it.live("are regular and inside the directory, through links too", () =>
    Effect.gen(function* () {
      const { root } = yield* makeTree
      const find = (path: string) => Effect.orElseSucceed(findFile(root, path), () => Option.none())
      assert.deepInclude(Option.getOrUndefined(yield* find("/sub/a.txt")), { size: 5 })
      assert.isTrue(Option.isSome(yield* find("/in")))
      for (const path of ["/", "/sub", "/nope", "/out", "/up/secret", "/../secret", "/sub/a.txt/x"])
        assert.isTrue(Option.isNone(yield* find(path)), path)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("come over a connection whole, or not at all and with a reason", () =>
    Effect.gen(function* () {
      const { root } = yield* makeTree
      const server = FileServer.layer({ root, listen: ["127.0.0.1:0"] }).pipe(Layer.provide(TestCertificates.layer))
      yield* Effect.gen(function* () {
        const endpoint = yield* Endpoint.Endpoint
        const connection = yield* Endpoint.connect({ address: endpoint.addresses[0]!, alpn: ALPN })
        const read = (path: string) => Stream.mkString(Stream.decodeText(request(connection, path)))
        assert.strictEqual(yield* read("/sub/a.txt"), "hello")
        assert.strictEqual(yield* read("/empty"), "")
        for (const path of ["/nope", "/../secret", "/%2e%2e/secret", "/out", "/up/secret", "/sub"]) {
          const failure: CliFailure = yield* Effect.flip(read(path))
          assert.strictEqual(failure.code, 3, path)
          assert.include(failure.message, "not found")
        }
        const refused = yield* Effect.flip(read("no-slash"))
        assert.include(refused.message, "did not understand")

        // What is no request, and never ends, is not kept for ever.
        const stream = yield* connection.openStream()
        const endless = yield* Effect.flip(
          Effect.forever(stream.write(new Uint8Array(16_384).fill(0x41)), { disableYield: false })
        )
        assert.strictEqual(endless.reason.name, "StreamStopped")
        assert.strictEqual(yield* read("/sub/a.txt"), "hello")
      }).pipe(Effect.scoped, Effect.provide(server), Effect.provide(TestCertificates.layer))
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeServices.layer, UdpSocket.layer)))
  )
})
