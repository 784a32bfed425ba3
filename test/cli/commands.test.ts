import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { commandOf, makeDirectory, run, start } from "./support.ts"
import type { Running } from "./support.ts"

const directory = makeDirectory()
const root = join(directory.path, "root")
const big = randomBytes(3_000_000)

/** Only on Linux is all of 127.0.0.0/8 this host. */
const isLinux = process.platform === "linux"
const secondHost = isLinux ? "127.0.0.2" : "127.0.0.1"

/** Long enough to be interrupted; takes no room on the disk. */
const endless = 4_000_000_000

/** Long enough that it is under way when the server is told to stop. */
const large = 40_000_000

let server: Running
let addresses: ReadonlyArray<string>
let pin: string

/** An empty directory for what is fetched. */
const out = (name: string): string => join(directory.path, name)

const startServer = async (): Promise<void> => {
  server = start("serve", root, "--listen", "127.0.0.1:0", "--listen", `${secondHost}:0`)
  const [, first, second, hash] = await server.saw(/listening on (\S+)\nlistening on (\S+)\n[^]*--pin ([0-9a-f]{64})\n/)
  addresses = [first!, second!]
  pin = hash!
}

beforeAll(async () => {
  mkdirSync(root)
  writeFileSync(join(root, "big.bin"), big)
  writeFileSync(join(root, "small.txt"), "small")
  writeFileSync(join(root, "endless.bin"), "")
  truncateSync(join(root, "endless.bin"), endless)
  writeFileSync(join(root, "large.bin"), "")
  truncateSync(join(root, "large.bin"), large)
  await startServer()
})

afterAll(async () => {
  server.kill("SIGTERM")
  await server.finished
  directory.remove()
})

describe("serve and get", () => {
  it.skipIf(!isLinux)("carry files over every path that was asked for", async () => {
    const target = out("whole")
    const urls = [`https://${addresses[0]}/big.bin`, `${addresses[0]}/small.txt`]
    const paths = ["--local", "127.0.0.1", "--local", "127.0.0.3", "--via", `${addresses[1]}@127.0.0.4`]
    const policies = ["--scheduler", "round-robin", "--congestion", "newreno"]
    const done = await run("get", ...urls, "--out", target, "--pin", pin, ...paths, ...policies)
    assert.strictEqual(done.code, 0, done.stderr)
    assert.isTrue(readFileSync(join(target, "big.bin")).equals(big))
    assert.strictEqual(readFileSync(join(target, "small.txt"), "utf8"), "small")
    assert.sameMembers(readdirSync(target), ["big.bin", "small.txt"])
    const { bytes, files, ok, paths: used } = done.json()
    assert.deepInclude({ ok, bytes }, { ok: true, bytes: 3_000_005 })
    assert.strictEqual(files[0].sha256, createHash("sha256").update(big).digest("hex"))
    assert.deepStrictEqual(
      used.map(({ local, remote }: { local: string; remote: string }) => [local.split(":")[0], remote]),
      [
        ["127.0.0.1", addresses[0]],
        ["127.0.0.3", addresses[0]],
        ["127.0.0.4", addresses[1]]
      ]
    )
  })

  it("tell a missing file from others, which still come", async () => {
    const target = out("missing")
    const done = await run(
      "get",
      `${addresses[0]}/nope.bin`,
      `${addresses[0]}/small.txt`,
      "--out",
      target,
      "--pin",
      pin
    )
    assert.strictEqual(done.code, 3)
    assert.include(done.stderr, "/nope.bin: not found on the server")
    assert.isFalse(done.json().ok)
    assert.deepStrictEqual(readdirSync(target), ["small.txt"])
  })

  it("compare with a hash that was given", async () => {
    const target = out("hash")
    const ask = ["get", `${addresses[0]}/small.txt`, "--out", target, "--pin", pin, "--json", "--sha256"]
    const wrong = await run(...ask, "0".repeat(64))
    assert.strictEqual(wrong.code, 1)
    assert.deepInclude(wrong.json(), { ok: false, sha256Match: false })
    assert.include(wrong.stderr, "not the one asked for")
    assert.deepStrictEqual(readdirSync(target), [])
    // Nothing but the JSON.
    assert.lengthOf(wrong.stdout.trimEnd().split("\n"), 1)
    const right = await run(...ask, wrong.json().files[0].sha256)
    assert.deepInclude(right.json(), { ok: true, sha256Match: true })
    assert.strictEqual(right.code, 0)
  })
})

/** An address of this host that others reach, too. */
const outside = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address

describe("get --auto-paths", () => {
  it.skipIf(!isLinux || outside === undefined)("opens a path from each address that leads there", async () => {
    const far = start("serve", root, "--listen", `${outside}:0`)
    const [, address, hash] = await far.saw(/listening on (\S+)\n[^]*--pin ([0-9a-f]{64})\n/)
    const target = out("auto")
    const ask = ["get", `${address}/big.bin`, `${address}/large.bin`, "--out", target, "--pin", hash!, "--json"]
    const done = await run(...ask, "--auto-paths", "--local", "127.0.0.1")
    far.kill("SIGTERM")
    await far.finished
    assert.strictEqual(done.code, 0, done.stderr)
    assert.isTrue(readFileSync(join(target, "big.bin")).equals(big))
    const used = done.json().paths as ReadonlyArray<{ readonly local: string; readonly remote: string }>
    assert.includeMembers(
      used.map(({ local }) => local.split(":")[0]),
      ["127.0.0.1", outside]
    )
    assert.isTrue(used.every(({ remote }) => remote === address))
  })
})

describe("get --stats", () => {
  it("writes lines on standard error where there is no terminal, and nothing on standard output", async () => {
    const ask = ["get", `${addresses[0]}/big.bin`, "--out", out("stats"), "--pin", pin, "--stats", "--json"]
    const done = await run(...ask)
    assert.strictEqual(done.code, 0, done.stderr)
    assert.lengthOf(done.stdout.trimEnd().split("\n"), 1)
    assert.isTrue(done.json().ok)
    assert.include(done.stderr, "of a download, requests and acknowledgements")
    assert.match(done.stderr, /path 0 \S+ -> \S+ active .* RTT [\d.]+ ms  window .* in flight .* sent \d+  lost \d+\n/)
    assert.notInclude(done.stderr, "\u001b")
  })

  // A pseudo terminal, by util-linux.
  const scripted = isLinux && spawnSync("script", ["--version"]).stdout?.toString().includes("util-linux") === true
  for (const color of [true, false]) {
    it.skipIf(!scripted)(`draws a table again in its place on a terminal, ${color ? "in" : "without"} colours`, () => {
      const target = out(`terminal-${color}`)
      const command = commandOf("get", `${addresses[0]}/large.bin`, "--out", target, "--pin", pin, "--stats")
      const { NO_COLOR: _, ...env } = { ...process.env, TERM: "xterm" } as NodeJS.ProcessEnv
      const { status, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
        env: color ? env : { ...env, NO_COLOR: "1" },
        stdio: ["ignore", "pipe", "inherit"]
      })
      const text = stdout.toString()
      assert.strictEqual(status, 0, text)
      assert.strictEqual(statSync(join(target, "large.bin")).size, large)
      // Up by the lines of the last drawing, which go.
      assert.include(text, "\u001b[6A\u001b[J")
      assert.match(text, /path +state +RTT ms/)
      assert.match(text, / 0 +active +[\d.]+ +[\d.]+ +100 % /)
      assert.strictEqual(text.includes("\u001b[1m"), color)
      assert.isTrue(JSON.parse(text.trimEnd().split("\n").at(-1)!).ok)
    })
  }
})

describe("servers that must not be trusted", () => {
  it("are refused, and the message says what to do", async () => {
    const ask = ["get", `${addresses[0]}/small.txt`, "--out", out("refused")]
    const [unknown, pinned] = await Promise.all([run(...ask), run(...ask, "--pin", "ab".repeat(32))])
    for (const done of [unknown, pinned]) {
      assert.strictEqual(done.code, 5)
      assert.isFalse(done.json().ok)
      for (const option of ["--pin", "--ca", "--insecure"]) assert.include(done.stderr, option)
    }
    assert.include(pinned.stderr, pin)
    assert.deepStrictEqual(readdirSync(out("refused")), [])
  })

  it("are taken with --insecure", async () => {
    const done = await run("get", `${addresses[0]}/small.txt`, "--out", out("insecure"), "--insecure")
    assert.strictEqual(done.code, 0, done.stderr)
  })
})

describe("a transfer that does not end well", () => {
  it("leaves no file when the user interrupts it", async () => {
    const target = out("interrupted")
    const get = start("get", `${addresses[0]}/endless.bin`, "--out", target, "--pin", pin)
    await get.saw(/MB .*Mbit\/s/)
    assert.lengthOf(readdirSync(target), 1)
    get.kill("SIGINT")
    const done = await get.finished
    assert.strictEqual(done.code, 130)
    assert.include(done.stderr, "interrupted")
    assert.deepInclude(done.json(), { ok: false, error: "interrupted" })
    assert.deepStrictEqual(readdirSync(target), [])
  })

  it("leaves no file when the server goes away", async () => {
    const target = out("gone")
    const own = start("serve", root, "--listen", "127.0.0.1:0", "--grace", "0.2")
    const [, address, hash] = await own.saw(/listening on (\S+)\n[^]*--pin ([0-9a-f]{64})\n/)
    const get = start("get", `${address}/endless.bin`, "--out", target, "--pin", hash!)
    await get.saw(/MB .*Mbit\/s/)
    own.kill("SIGTERM")
    const done = await get.finished
    assert.strictEqual(done.code, 1)
    assert.include(done.stderr, "closed the connection")
    assert.deepStrictEqual(readdirSync(target), [])
    assert.strictEqual((await own.finished).code, 130)
  })

  it("D3: a server that is told to stop finishes what it has begun", async () => {
    const target = out("last")
    const own = start("serve", root, "--listen", "127.0.0.1:0", "--grace", "60")
    const [, address, hash] = await own.saw(/listening on (\S+)\n[^]*--pin ([0-9a-f]{64})\n/)
    const get = start("get", `${address}/large.bin`, "--out", target, "--pin", hash!)
    await get.saw(/MB .*Mbit\/s/)
    own.kill("SIGTERM")
    const done = await get.finished
    assert.strictEqual(done.code, 0, done.stderr)
    assert.strictEqual(statSync(join(target, "large.bin")).size, large)
    assert.strictEqual((await own.finished).code, 130)
  })

  it("issue 7: --json of a server is a line for each event, its counters the last", async () => {
    const own = start("serve", root, "--listen", "127.0.0.1:0", "--json")
    const [first] = await own.saw(/^\{"event":"ready".*\n/)
    const { listening, pin: hash } = JSON.parse(first)
    const urls = [`${listening[0]}/small.txt`, `${listening[0]}/nope`]
    assert.strictEqual((await run("get", ...urls, "--out", out("json"), "--pin", hash)).code, 3)
    await own.saw(/"event":"closed"/)
    own.kill("SIGTERM")
    const { code, stdout } = await own.finished
    assert.strictEqual(code, 130)
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      lines.map(({ event }) => event),
      ["ready", "accepted", "stream", "stream", "closed", "stopped"]
    )
    assert.strictEqual(new Set(lines.slice(1, 5).map(({ connection }) => connection)).size, 1)
    assert.sameDeepMembers(
      lines.slice(2, 4).map(({ bytes, path, status, stream }) => [stream, path, status, bytes]),
      [
        [0, "/small.txt", 200, 5],
        [4, "/nope", lines.find(({ path }) => path === "/nope").status, 0]
      ]
    )
    assert.deepInclude(lines[4], { reason: "ApplicationClosed", code: 0, initiator: "peer" })
    assert.deepInclude(lines[5].stats, { connections: 0, handshakesCompleted: 1 })
    const failed = await run("serve", "/no/such", "--json")
    assert.strictEqual(failed.code, 6)
    assert.deepInclude(failed.json(), { event: "failed", ok: false })
  })

  it("issue 7: --json of a server tells of connections that it ends itself, too", async () => {
    const own = start("serve", root, "--listen", "127.0.0.1:0", "--json", "--grace", "0.1")
    const [first] = await own.saw(/^\{"event":"ready".*\n/)
    const { listening, pin: hash } = JSON.parse(first)
    const get = start("get", `${listening[0]}/endless.bin`, "--out", out("cut"), "--pin", hash)
    await own.saw(/"event":"accepted"/)
    own.kill("SIGTERM")
    const events = (await own.finished).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      events.map(({ event }) => event).filter((event) => event !== "stream"),
      ["ready", "accepted", "closed", "stopped"]
    )
    assert.deepInclude(events.at(-2), { initiator: "local", code: 1 })
    assert.strictEqual((await get.finished).code, 1)
  })

  it("says that nobody answers", async () => {
    const done = await run("get", "127.0.0.1:9/x", "--out", out("nobody"), "--timeout", "0.2")
    assert.strictEqual(done.code, 4)
    assert.include(done.stderr, "no handshake within 200ms")
    assert.include(done.stderr, "--timeout")
  })
})

describe("what is asked for wrongly", () => {
  it("names a port that is in use", async () => {
    const done = await run("serve", root, "--listen", addresses[0]!)
    assert.strictEqual(done.code, 7)
    assert.include(done.stderr, `${addresses[0]} is in use`)
  })
})
