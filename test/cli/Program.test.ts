import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Exit } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { mpquic, teardown } from "../../src/cli/Program.ts"

/** Runs the program with arguments that it refuses. */
const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
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
}, Effect.provide(NodeServices.layer))

describe("wrong arguments", () => {
  const pin = "ab".repeat(32)
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, named: ReadonlyArray<string>]> = [
    [
      ["demo", "--size", "5"],
      ["--size", "1MB to 10GB"]
    ],
    [
      ["serve", ".", "--listen", "127.0.0.1:65536"],
      ["--listen", "0 to 65535"]
    ],
    [
      ["get", "h/x", "--timeout", "0"],
      ["--timeout", "seconds from 0.1 to 600"]
    ],
    [
      ["get", "h/x", "--timeout", "x"],
      ["--timeout", "seconds from 0.1 to 600"]
    ],
    [
      ["get", "h/x", "--scheduler", "best"],
      ["--scheduler", "delivery-rate", "low-latency", "round-robin", "min-rtt", "blest", "ecf", "redundant", "backup"]
    ],
    [
      ["get", "h/x", "--congestion", "none"],
      ["--congestion", "cubic", "newreno"]
    ],
    [
      ["get", "h/x", "--local", "example.com"],
      ["--local", "IP address"]
    ],
    [
      ["get", "h/x", "--via", "h:70000"],
      ["--via", "1 to 65535"]
    ],
    [
      ["get", "h/x", "--pin", "12"],
      ["--pin", "SHA-256"]
    ],
    [
      ["get", "h/x", "--sha256", "12"],
      ["--sha256", "64 hex digits"]
    ],
    [
      ["get", "http://h/x"],
      ["<url>", "https://"]
    ],
    [["get"], ["url"]],
    [
      ["get", "h/x", "i/y"],
      ["one server", "i/y"]
    ],
    [["get", "h/a/x", "h/b/x"], ["saved as x"]],
    [
      ["get", "h/x", "h/y", "--sha256", pin],
      ["--sha256", "one URL"]
    ],
    [
      ["get", "h/x", "--pin", pin, "--insecure"],
      ["--insecure", "--pin"]
    ],
    [
      ["serve", ".", "--cert", "c.pem"],
      ["--cert", "--key"]
    ],
    [["fetch"], ["fetch"]]
  ]
  for (const [args, named] of cases) {
    it.effect(`are refused by name: ${args.join(" ").replaceAll(pin, "HASH")}`, () =>
      Effect.gen(function* () {
        const { code, errors } = yield* run(args)
        assert.strictEqual(code, 2, errors)
        for (const part of named) assert.include(errors, part)
      })
    )
  }
})

describe("help", () => {
  it.effect("tells the commands and the exit codes, and is no failure", () =>
    Effect.gen(function* () {
      const { code, output } = yield* run(["--help"])
      assert.strictEqual(code, 0)
      for (const part of ["demo", "serve", "get", "Exit codes", "130"]) assert.include(output, part)
      assert.notInclude(output, "demo-peer")
    })
  )
})
