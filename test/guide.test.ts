/**
 * docs/from-mp-quic-go.md is run: its server and client as programs, every Layer and function that a block exports in transfers
 * on a simulated network. (docs.test.ts compiles the blocks.)
 */
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Layer, Stream } from "effect"
import { execFile, spawn } from "node:child_process"
import * as dgram from "node:dgram"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type { Connection } from "../src/index.ts"
import { Endpoint, LocalAddresses, MultipathController } from "../src/index.ts"
import { SimulatedNetwork } from "../src/testing/index.ts"
import { authorityPem, identity } from "../src/testing/TestCertificates.ts"

const root = path.resolve(import.meta.dirname, "..")
const text = fs.readFileSync(path.join(root, "docs/from-mp-quic-go.md"), "utf8")
const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
const isProgram = (block: string): boolean => block.includes("runMain")
const ofPackage = (block: string): string => block.replaceAll('"effect-mpquic"', '"../../src/index.ts"')

/** Runs `use` with a folder inside the project, where the packages are found. */
const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  fs.mkdirSync(path.join(root, ".cache"), { recursive: true })
  const folder = fs.mkdtempSync(path.join(root, ".cache/guide-"))
  try {
    await use(folder)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const socket = dgram.createSocket("udp4")
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })

const multipath = { maxPaths: 4 }
const SIZE = 200_000

/** Uploads over two paths with a policy, and tells how many bytes came back on how many paths. */
const upload = <E>(policy: Layer.Layer<never, E>, use: (connection: Connection.Connection) => Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const network = yield* SimulatedNetwork.SimulatedNetwork
    const client = network.host("client", ["192.168.1.10", "10.0.0.2"])
    const server = network.host("server", ["203.0.113.1"])
    network.link("192.168.1.10", "203.0.113.1", { mbps: 40, delay: 10, queue: 100, loss: 0.01 })
    network.link("10.0.0.2", "203.0.113.1", { mbps: 20, delay: 30, queue: 100, loss: 0.01 })
    const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
      Layer.provide(Endpoint.layer({ listen: "203.0.113.1:4433", alpn: "echo", multipath })),
      Layer.provide(server.udpSocket)
    )
    const ClientLive = Endpoint.layer({ multipath }).pipe(Layer.provide(client.udpSocket))
    return yield* Effect.gen(function* () {
      const to = { address: "203.0.113.1:4433", serverName: "server.test", alpn: "echo", local: "192.168.1.10" }
      const connection = yield* Endpoint.connect(to)
      // A path manager may have been faster.
      const paths = connection.paths.length
      if (paths === 1) yield* Effect.ignore(connection.openPath({ local: "10.0.0.2" }))
      yield* Effect.sleep("200 millis")
      const stream = yield* connection.openStream()
      yield* stream.end(new Uint8Array(SIZE))
      const bytes = (yield* stream.bytes).length
      yield* use(connection)
      return { bytes, stats: connection.stats }
    }).pipe(Effect.scoped, Effect.provide(policy), Effect.provide(Layer.merge(EchoLive, ClientLive)))
  }).pipe((test) => SimulatedNetwork.run(test, { seed: 7 }))

describe("docs/from-mp-quic-go.md", () => {
  it("its server and its client are programs that run", () =>
    inFolder(async (folder) => {
      const port = String(await freePort())
      for (const block of blocks.filter(isProgram)) {
        const file = block.includes("listen:") ? "server.ts" : "client.ts"
        fs.writeFileSync(path.join(folder, file), ofPackage(block).replace("4242", port))
      }
      const pem = Buffer.from(identity().certificates[0]!).toString("base64")
      fs.writeFileSync(
        path.join(folder, "cert.pem"),
        `-----BEGIN CERTIFICATE-----\n${pem}\n-----END CERTIFICATE-----\n`
      )
      fs.writeFileSync(path.join(folder, "key.pem"), identity().privateKey.export({ type: "pkcs8", format: "pem" }))
      const server = spawn(process.execPath, ["server.ts"], { cwd: folder })
      try {
        await new Promise<void>((resolve, reject) => {
          server.stdout.on("data", (chunk) => String(chunk).includes(`serving on 127.0.0.1:${port}`) && resolve())
          server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
        })
        // The certificate of the test is issued by an authority; the guide's is its own.
        fs.writeFileSync(path.join(folder, "cert.pem"), authorityPem())
        const output = await new Promise<string>((resolve, reject) => {
          execFile(process.execPath, ["client.ts"], { cwd: folder, timeout: 20_000 }, (error, stdout, stderr) =>
            error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`))
          )
        })
        assert.include(output, "2 paths: hello multipath")
      } finally {
        server.kill("SIGTERM")
      }
    }))

  it("what its other blocks export works in transfers", () =>
    inFolder(async (folder) => {
      const exports: Record<string, unknown> = {}
      for (const [index, block] of blocks.entries()) {
        if (isProgram(block)) continue
        const file = path.join(folder, `${index}.ts`)
        fs.writeFileSync(file, ofPackage(block))
        const found = Object.entries((await import(pathToFileURL(file).href)) as Record<string, unknown>)
        assert.isNotEmpty(found, `block ${index + 1} exports nothing`)
        Object.assign(exports, Object.fromEntries(found))
      }
      const live = Object.keys(exports).filter((name) => name.endsWith("Live"))
      assert.strictEqual(
        live.join(" "),
        "RoundRobinLive LowLatencyLive MinRttLive AutoPathsLive OliaLive DuplicationLive " +
          "ReinjectionLive FirstCandidateLive PatientLive TwoAddressesLive EverythingLive"
      )
      const others = Object.keys(exports).filter((name) => !name.endsWith("Live"))
      assert.sameMembers(others, ["avoid", "server", "watch", "unplug", "report"])
      const { avoid, report, unplug, watch } = exports as {
        readonly avoid: (connection: Connection.Connection, pathId: number) => Effect.Effect<void>
        readonly report: (connection: Connection.Connection) => Effect.Effect<void>
        readonly unplug: Effect.Effect<void, never, LocalAddresses.Controlled>
        readonly watch: (connection: Connection.Connection) => Effect.Effect<void>
      }

      const lost: Array<number> = []
      const lines: Array<string> = []
      const written = { ...globalThis.console, log: (line: string) => lines.push(line) }
      const observed = MultipathController.observe(() => ({ name: "test", onPacketLost: ({ id }) => lost.push(id) }))
      for (const name of live) {
        const policy = exports[name] as Layer.Layer<never>
        const result = await Effect.runPromise(
          upload(Layer.provideMerge(policy, observed), (connection) =>
            Effect.gen(function* () {
              const watcher = yield* Effect.forkChild(watch(connection))
              const say = Effect.provideService(report(connection), Console.Console, written)
              yield* say
              if (name === "TwoAddressesLive") {
                const addresses = Effect.map(LocalAddresses.LocalAddresses, (service) => service as never)
                yield* Effect.provideServiceEffect(unplug, LocalAddresses.Controlled, addresses)
                yield* Effect.sleep("500 millis")
                assert.lengthOf(connection.paths, 1, "unplugged")
                yield* say // N8: a report that is repeated tells how things are then
              } else {
                assert.lengthOf(connection.paths, 2, name)
                yield* avoid(connection, 0)
                assert.strictEqual(connection.path(0)!.state, "potentiallyFailed")
              }
              yield* Fiber.interrupt(watcher)
            })
          )
        )
        assert.strictEqual(result.bytes, SIZE, name)
        const controllers = result.stats.paths.map(({ controller }) => controller)
        if (name === "OliaLive" || name === "EverythingLive") assert.include(controllers, "olia")
        if (name === "DuplicationLive") assert.isAbove(result.stats.bytesDuplicated, SIZE / 10)
      }
      assert.isNotEmpty(lost)
      for (const line of lines) assert.match(line, /^path [01] rtt=\d\d\.\dms inFlight=\d+ cwnd=\d{5,}$/)
      assert.lengthOf(lines, 2 * live.length + 1)
    }))
})
