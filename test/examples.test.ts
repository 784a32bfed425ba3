import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Endpoint, PathScheduler, Tls, UdpSocket } from "../src/index.ts"
import { identity, authorityPem } from "../src/testing/TestCertificates.ts"

const run = (file: string, ...args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [join("examples", file), ...args], { timeout: 25_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${file}: ${error.message}\n${stdout}\n${stderr}`))
    })
  })

describe("examples", () => {
  const expected: Record<string, (output: string) => void> = {
    "hello.ts": (output) => assert.include(output, "the server answered: hello multipath"),
    "bulk.ts": (output) =>
      assert.include(
        output,
        "30000000 bytes, SHA-256 c49381480b2dce17ac7b90a862803fe7b3d0d0baaa3ef6273a04cbd00b491ab1"
      ),
    "reconnect.ts": (output) => assert.match(output, /you said three\n3 connections/),
    "datagrams.ts": (output) => assert.include(output, "pong 9"),
    "custom-scheduler.ts": (output) => {
      const [first, second] = [...output.matchAll(/path \d carried (\d+) %/g)].map((match) => Number(match[1]))
      assert.approximately(first!, 75, 5)
      assert.approximately(second!, 25, 5)
    },
    "olia.ts": (output) => {
      assert.include(output, "path 0: olia, path 1: olia; 5 MB arrived")
      assert.include(output, "path 0: olia, path 1: newReno; 5 MB arrived")
    },
    "custom-congestion.ts": (output) => {
      const [newReno, own] = [...output.matchAll(/5000000 bytes, ([\d.]+) Mbit/g)].map((match) => Number(match[1]))
      assert.isAbove(own!, 2 * newReno!)
    },
    "advertise.ts": (output) =>
      assert.include(
        output,
        [
          "path 1 is active, and leads to port two",
          "the server says: thank you",
          "path 0 is seen at the address that it has here",
          "path 1 is seen at the address that it has here\n"
        ].join("\n")
      ),
    "duplication.ts": (output) => {
      const [first, second] = [...output.matchAll(/path \d carried (\d+) bytes/g)].map((match) => Number(match[1]))
      assert.isAbove(Math.min(first!, second!), 5000)
      assert.isAbove(first! + second!, 13_000)
      assert.match(output, /the answer has 10000\nonce/)
    },
    "reinjection.ts": (output) => {
      const [without, idle, chosen] = [...output.matchAll(/: (\d+) ms/g)].map((match) => Number(match[1]))
      assert.isBelow(idle!, 0.9 * without!)
      assert.isBelow(chosen!, 0.9 * without!)
    },
    "schedulers.ts": (output) => {
      const lines = [...output.matchAll(/^(.*): messages (\d+) % and (\d+) %, upload (\d+) ms$/gm)]
      const shareOf = (name: string) => Number(lines.find((line) => line[1]!.startsWith(name))![2])
      assert.lengthOf(lines, 9)
      for (const name of ["low latency", "backup", "redundant"]) assert.strictEqual(shareOf(name), 100, name)
      assert.approximately(shareOf("round robin"), 50, 8)
      assert.approximately(shareOf("weighted"), 75, 8)
      // One path takes 800 ms for it, both 533.
      for (const [, name, , , ms] of lines)
        assert.isBelow(Number(ms), /backup|redundant/.test(name!) ? 1000 : 760, name!)
    },
    "failure-detection.ts": (output) => {
      const [first, second, third, fourth] = output.split(/^suspected .*$/m).slice(1)
      assert.match(first!, /PotentiallyFailed[^]*Recovered[^]*thanks/)
      assert.match(second!, /PotentiallyFailed[^]*Recovered[^]*thanks/)
      assert.notMatch(third!, /PotentiallyFailed/)
      assert.match(fourth!, /PotentiallyFailed[^]*Recovered[^]*thanks/)
    },
    "statistics.ts": (output) => {
      assert.match(
        output,
        /^path 0 active: RTT \d+ ms \(at least 2\d ms\), window [1-9]\d+, in flight [1-9]\d+, share 0\.\d\d$/m
      )
      assert.match(
        output,
        /^path 1 active: RTT \d+ ms \(at least 8\d ms\), window [1-9]\d+, in flight [1-9]\d+, share 0\.\d\d$/m
      )
      const [, lost, heard] = /(\d+) lost, of which the observer heard of (\d+)/.exec(output)!
      assert.isAbove(Number(lost), 0)
      assert.strictEqual(lost, heard)
      assert.match(output, /^2000000 bytes, of which [1-9]\d+ were sent again$/m)
    },
    "auto-paths.ts": (output) => {
      assert.include(output, "4000000 bytes over 2 paths")
      assert.match(output, /from 127\.0\.0\.1:\d+: its share\nfrom 127\.0\.0\.2:\d+: its share/)
    },
    "local-addresses.ts": (output) =>
      assert.strictEqual(
        output,
        [
          "at first: 192.168.1.10",
          "docked: 192.168.1.10 and 10.0.0.2",
          "undocked: 192.168.1.10",
          "wifi off, docked: 10.0.0.2",
          "the server got 20000000 bytes\n"
        ].join("\n")
      ),
    "multipath.ts": (output) => {
      assert.include(output, "multipath: true")
      assert.strictEqual([...output.matchAll(/: 4000000 bytes/g)].length, 3)
      assert.match(output, /path 0 as backup: 4000000 bytes; path 0 0\.0 MB, path 1 4\.\d MB/)
    }
  }

  for (const [file, check] of Object.entries(expected)) {
    it(file, async () => check(await run(file)))
  }

  it("simulated-network.ts, the same in every run", async () => {
    const [first, second] = await Promise.all([run("simulated-network.ts"), run("simulated-network.ts")])
    assert.match(first, /^3000000 bytes in \d+\.\d ms of simulated time/)
    assert.match(first, /path 0 \(potentiallyFailed\)/)
    assert.strictEqual(first, second)
  })

  it("echo-server.ts and echo-client.ts", async () => {
    const folder = mkdtempSync(join(tmpdir(), "effect-mpquic-"))
    const files = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem"), roots: join(folder, "ca.pem") }
    const pem = Buffer.from(identity().certificates[0]!).toString("base64")
    writeFileSync(files.certificate, `-----BEGIN CERTIFICATE-----\n${pem}\n-----END CERTIFICATE-----\n`)
    writeFileSync(files.key, identity().privateKey.export({ type: "pkcs8", format: "pem" }))
    writeFileSync(files.roots, authorityPem())
    const server = spawn(process.execPath, ["examples/echo-server.ts", "127.0.0.1:0", files.certificate, files.key])
    try {
      const port = await new Promise<string>((resolve, reject) => {
        server.stdout.on("data", (chunk) => {
          const match = /serving on 127\.0\.0\.1:(\d+)/.exec(String(chunk))
          if (match !== null) resolve(match[1]!)
        })
        server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
      })
      assert.include(await run("echo-client.ts", "127.0.0.1", port, files.roots), "hello multipath")
    } finally {
      server.kill("SIGTERM")
      rmSync(folder, { recursive: true })
    }
  })

  it("every example is run here", () => {
    // Those that are tests themselves are run by vitest.
    const files = readdirSync("examples").filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    assert.deepStrictEqual(
      new Set(files),
      new Set([...Object.keys(expected), "echo-server.ts", "echo-client.ts", "simulated-network.ts"])
    )
  })

  it("the first programs of the documentation type-check", () => {
    const program = Effect.gen(function* () {
      const connection = yield* Endpoint.connect({ host: "example.com", port: 4433, alpn: "echo" })
      const stream = yield* connection.openStream()
      yield* stream.end("hello multipath")
      return yield* stream.text
    }).pipe(Effect.scoped)

    const client = program.pipe(
      Effect.provide(Endpoint.layer({ multipath: { maxPaths: 3 } })),
      Effect.provide(PathScheduler.layerRoundRobin),
      Effect.provide(UdpSocket.layer)
    )
    assert.isTrue(Effect.isEffect(client))

    const EchoLive = Endpoint.serveStreams((stream) => Stream.run(stream.readable, stream.sink)).pipe(
      Layer.provide(Endpoint.layer({ listen: "0.0.0.0:4433", alpn: ["echo"], multipath: { maxPaths: 3 } })),
      Layer.provide(Tls.layerIdentity({ certificate: "cert.pem", privateKey: "key.pem" })),
      Layer.provide(UdpSocket.layer)
    )
    const nothingMissing: Layer.Layer<never, unknown> = EchoLive
    assert.isTrue(Layer.isLayer(nothingMissing))
  })
})
