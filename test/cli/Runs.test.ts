/** Runs of the command line against a server in this process: names, places and mistakes, each with its exit code. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path } from "effect"
import type { Exit, Scope } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import * as FileServer from "../../src/cli/FileServer.ts"
import { layerUsage, mpquic, teardown } from "../../src/cli/Program.ts"
import * as Endpoint from "../../src/Endpoint.ts"
import * as TestCertificates from "../../src/testing/TestCertificates.ts"

interface Run {
  readonly name: string
  /** `ROOT` and `OUT` stand for directories, `SERVER` for the server's address. */
  readonly args: ReadonlyArray<string>
  readonly code: number
  /** What is in `OUT` afterwards, beside "old", which was there before. */
  readonly saved?: Readonly<Record<string, string>>
  /** On standard error. */
  readonly says?: RegExp
}

/** Of 252 bytes in UTF-8, which leaves no room for a suffix. */
const longName = "\u2603".repeat(84)

const files: Readonly<Record<string, string>> = {
  "a b.txt": "spaces",
  "\u00fcn\u00ef \u2603.txt": "unicode",
  "100%.txt": "percent",
  "a#b.txt": "hash",
  a: "no hash",
  "a+b&c=d.txt": "signs",
  "-dash": "dash",
  ".hidden": "hidden",
  old: "new",
  empty: "",
  [longName]: "long"
}

const zeros = "0".repeat(64)

const runs: ReadonlyArray<Run> = [
  { name: "D14: an empty file", args: ["SERVER/empty"], code: 0, saved: { empty: "" } },
  { name: "D14: no name", args: ["SERVER"], code: 3, says: /not found on the server/ },
  { name: "D14: a slash alone", args: ["SERVER/"], code: 3, says: /not found on the server/ },
  { name: "D14: a slash behind a directory", args: ["SERVER/sub/"], code: 3, says: /not found on the server/ },
  { name: "D14: a question", args: ["SERVER/a?x=1"], code: 0, saved: { a: "no hash" } },
  { name: "D14: two slashes", args: ["SERVER//a"], code: 3, says: /not found on the server/ },
  { name: "D14: a dot", args: ["SERVER/./a"], code: 0, saved: { a: "no hash" } },
  { name: "D14: down and up again", args: ["SERVER/sub/../a"], code: 0, saved: { a: "no hash" } },
  { name: "D14: a NUL", args: ["SERVER/a%00b"], code: 2, says: /name of a file/ },
  { name: "D14: a line break", args: ["SERVER/a%0d%0aGET%20/old"], code: 3, says: /not found on the server/ },
  { name: "D14: no UTF-8", args: ["SERVER/%ff%fe"], code: 2, says: /name of a file/ },
  { name: "D14: a backslash", args: ["SERVER/..\\secret"], code: 3, says: /not found on the server/ },
  {
    name: "D14: a name longer than names may be",
    args: [`SERVER/${"n".repeat(300)}`],
    code: 3,
    says: /not found on the server/
  },
  {
    name: "D14: a path longer than paths may be",
    args: [`SERVER/${"d/".repeat(3000)}f`],
    code: 3,
    says: /not found on the server/
  },
  { name: "D14: the same file twice", args: ["SERVER/a", "SERVER/a"], code: 2, says: /two files would be saved as a/ },
  { name: "D14: another scheme", args: ["ftp://SERVER/a"], code: 2, says: /a URL such as https/ },
  { name: "D14: a user in the URL", args: ["https://me:word@SERVER/a"], code: 2, says: /a URL such as https/ },
  { name: "D14: a bracket that is not closed", args: ["[::1/a"], code: 2, says: /a URL such as https/ },
  { name: "D14: a port that is no number", args: ["127.0.0.1:x/a"], code: 2, says: /a URL such as https/ },
  { name: "D14: port 0", args: ["127.0.0.1:0/a"], code: 2, says: /a URL such as https/ },
  {
    name: "D14: nobody there",
    args: ["127.0.0.1:9/a", "--timeout", "0.3"],
    code: 4,
    says: /no handshake within 300ms/
  },
  {
    name: "D14: an address of nobody",
    args: ["SERVER/a", "--local", "192.0.2.1"],
    code: 7,
    says: /not an address of this host/
  },
  {
    name: "D14: an address of the other family",
    args: ["SERVER/a", "--local", "::1"],
    code: 4,
    says: /no route from ::1/
  },
  { name: "D14: a second way to nobody", args: ["SERVER/a", "--via", "127.0.0.1:9"], code: 0, saved: { a: "no hash" } },
  {
    name: "D14: an authority that is no certificate",
    args: ["SERVER/a", "--ca", "ROOT/a"],
    code: 2,
    says: /no certificate in it/
  },
  {
    name: "D14: an option without its value",
    args: ["SERVER/a", "--timeout"],
    code: 2,
    says: /Missing value for flag --timeout/
  },
  {
    name: "D14: an option twice",
    args: ["SERVER/a", "--timeout", "5", "--timeout", "6"],
    code: 2,
    says: /at most 1 value/
  },
  { name: "D14: spaces", args: ["SERVER/a b.txt"], code: 0, saved: { "a b.txt": "spaces" } },
  { name: "D14: encoded spaces", args: ["https://SERVER/a%20b.txt"], code: 0, saved: { "a b.txt": "spaces" } },
  {
    name: "D14: unicode",
    args: ["SERVER/\u00fcn\u00ef \u2603.txt"],
    code: 0,
    saved: { "\u00fcn\u00ef \u2603.txt": "unicode" }
  },
  { name: "D14: a percent sign", args: ["SERVER/100%25.txt"], code: 0, saved: { "100%.txt": "percent" } },
  { name: "D14: a percent sign alone", args: ["SERVER/100%.txt"], code: 2, says: /name of a file/ },
  { name: "D14: a hash in the name", args: ["SERVER/a%23b.txt"], code: 0, saved: { "a#b.txt": "hash" } },
  { name: "D14: a fragment", args: ["SERVER/a#b.txt"], code: 0, saved: { a: "no hash" } },
  { name: "D14: signs", args: ["SERVER/a+b&c=d.txt"], code: 0, saved: { "a+b&c=d.txt": "signs" } },
  { name: "D14: a dash in front", args: ["SERVER/-dash"], code: 0, saved: { "-dash": "dash" } },
  { name: "D14: a hidden file", args: ["SERVER/.hidden"], code: 0, saved: { ".hidden": "hidden" } },
  { name: "D14: dots upwards", args: ["SERVER/../secret"], code: 3, says: /not found on the server/ },
  { name: "D14: encoded dots upwards", args: ["SERVER/%2e%2e/secret"], code: 3, says: /not found on the server/ },
  { name: "D14: encoded slashes", args: ["SERVER/..%2fsecret"], code: 2, says: /name of a file/ },
  { name: "D14: a link that leads outside", args: ["SERVER/outside"], code: 3, says: /not found on the server/ },
  { name: "D14: a directory", args: ["SERVER/sub"], code: 3, says: /not found on the server/ },
  {
    name: "D14: a missing file beside one that is there",
    args: ["SERVER/no", "SERVER/a"],
    code: 3,
    saved: { a: "no hash" }
  },
  {
    name: "D14: no directory can be made there",
    args: ["SERVER/a", "--out", "/dev/null/x"],
    code: 6,
    says: /making \/dev\/null/
  },
  { name: "D11: a name of 252 bytes", args: [`SERVER/${longName}`], code: 0, saved: { [longName]: "long" } },
  { name: "D11: the scheme in capitals", args: ["HTTPS://SERVER/a"], code: 0, saved: { a: "no hash" } },
  { name: "D11: --out is a file", args: ["SERVER/a", "--out", "ROOT/a"], code: 6, says: /it is not a directory/ },
  {
    name: "D11: no such --ca file",
    args: ["SERVER/a", "--ca", "/no/ca.pem"],
    code: 6,
    says: /reading \/no\/ca.pem: no such/
  },
  {
    name: "D5: another SHA-256 than asked for: what was there stays",
    args: ["SERVER/old", "--sha256", zeros],
    code: 1,
    saved: {},
    says: /what came has the SHA-256 [0-9a-f]{64}, which is not the one asked for; it is not kept/
  },
  {
    name: "D5: the right SHA-256",
    args: ["SERVER/old", "--sha256", "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"],
    code: 0,
    saved: { old: "new" }
  },
  { name: "D11: a time without a word", args: ["SERVER/a", "--idle-timeout", "5"], code: 0, saved: { a: "no hash" } },
  {
    name: "D11: too short a one",
    args: ["SERVER/a", "--idle-timeout", "0"],
    code: 2,
    says: /--idle-timeout.*1 to 3600/
  }
]

const makeServer = Effect.gen(function* () {
  const system = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const base = yield* Effect.flatMap(system.makeTempDirectoryScoped(), system.realPath)
  const root = paths.join(base, "root")
  yield* system.makeDirectory(paths.join(root, "sub"), { recursive: true })
  yield* system.writeFileString(paths.join(base, "secret"), "secret")
  yield* system.symlink(paths.join(base, "secret"), paths.join(root, "outside"))
  for (const [name, text] of Object.entries(files)) yield* system.writeFileString(paths.join(root, name), text)
  const context = yield* Layer.build(
    FileServer.layer({ root, listen: ["127.0.0.1:0"] }).pipe(Layer.provideMerge(TestCertificates.layer))
  )
  const endpoint = yield* Effect.provideContext(Endpoint.Endpoint, context)
  return { base, root, address: FileServer.addressesOf(endpoint)[0]! }
})

const run = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const exit: Exit.Exit<unknown, unknown> = yield* Effect.exit(Command.runWith(mpquic, { version: "1" })(args))
    let code = -1
    teardown(exit, (given) => {
      code = given
    })
    return {
      code,
      errors: (yield* TestConsole.errorLines).join("\n"),
      output: (yield* TestConsole.logLines).join("\n")
    }
  }).pipe(Effect.provide(Layer.merge(TestConsole.layer, layerUsage(args.includes("--json")))))

const services = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("runs", () => {
  it.live("end as they should, and never with a stack", () =>
    Effect.gen(function* () {
      const system = yield* FileSystem.FileSystem
      const { address, base, root } = yield* makeServer
      for (const [index, { args, code, name, saved = {}, says }] of runs.entries()) {
        const out = `${base}/out${index}`
        yield* system.makeDirectory(out)
        yield* system.writeFileString(`${out}/old`, "old")
        const words = args.map((arg) => arg.replaceAll("SERVER", address).replaceAll("ROOT", root))
        const where = args.includes("--out") ? [] : ["--out", out]
        const trust = args.includes("--ca") ? [] : ["--insecure"]
        const done = yield* run(["get", ...words, ...where, ...trust, "--json"]).pipe(
          Effect.provide(NodeServices.layer)
        )
        assert.strictEqual(done.code, code, `${name}: ${done.errors}`)
        if (says !== undefined) assert.match(done.errors, says, name)
        assert.notMatch(done.errors + done.output, /\n\s+at /, name)
        // Nothing but the line of JSON, whatever happened.
        assert.lengthOf(done.output.trimEnd().split("\n"), 1, `${name}: ${done.output}`)
        assert.strictEqual(JSON.parse(done.output).ok, code === 0, name)
        const there: Record<string, string> = {}
        for (const file of yield* system.readDirectory(out))
          there[file] = yield* system.readFileString(`${out}/${file}`)
        assert.deepStrictEqual(there, { old: "old", ...saved }, name)
      }
    }).pipe(services)
  )

  const usage: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: RegExp]> = [
    [["get"], /usage: mpquic get/],
    [["get", "h/x", "--no-such"], /--no-such/],
    [["serve"], /usage: mpquic serve/],
    [["demo", "--size", "5"], /--size/],
    [["frobnicate"], /frobnicate/]
  ]
  for (const [args, says] of usage) {
    it.live(`D11: a mistake is what is told, not all of the help: ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        for (const json of [false, true]) {
          const { code, errors, output } = yield* run(json ? [...args, "--json"] : args)
          assert.strictEqual(code, 2)
          assert.match(errors, /^mpquic: /)
          assert.match(errors, says)
          assert.isBelow(errors.split("\n").length, 8, errors)
          if (!json) assert.strictEqual(output, "")
          else assert.isFalse(JSON.parse(output).ok)
        }
      }).pipe(Effect.provide(NodeServices.layer))
    )
  }

  it.live("D11: a certificate that is not there is a file that cannot be read", () =>
    Effect.gen(function* () {
      const { code, errors } = yield* run(["serve", ".", "--cert", "/no/c.pem", "--key", "/no/k.pem"])
      assert.strictEqual(code, 6)
      assert.include(errors, "reading /no/c.pem: no such file or directory (ENOENT)")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
