import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { bindNodeUdp } from "../../src/internal/runtime/NodeUdp.ts"
import * as PacketProtection from "../../src/PacketProtection.ts"
import { BadConfig } from "../../src/QuicError.ts"
import type { QuicError } from "../../src/QuicError.ts"
import * as UdpSocket from "../../src/UdpSocket.ts"
import { run } from "./run.ts"
import { loopback, skipped } from "./support.ts"

const live = it.live.skipIf(skipped)
const test = it.skipIf(skipped)

const environment = (lane: string) => ConfigProvider.layer(ConfigProvider.fromUnknown({ MPQUIC_LANE: lane }))

const laneOf = Effect.map(UdpSocket.UdpSocket, ({ lane }) => lane)

const insist = (lane: "portable" | "native") =>
  Effect.scoped(Effect.flatMap(UdpSocket.UdpSocket, ({ bind }) => bind(loopback, { lane })))

const badConfig = (error: QuicError): BadConfig => {
  assert.instanceOf(error.reason, BadConfig)
  return error.reason
}

describe("the lane", () => {
  live("is native where it can be, and MPQUIC_LANE forces it", () =>
    Effect.gen(function* () {
      const lane = Effect.provide(laneOf, Layer.fresh(UdpSocket.layer))
      const protection = Effect.map(PacketProtection.forLane("auto"), ({ name }) => name)
      assert.strictEqual(yield* lane, "native")
      assert.strictEqual(yield* protection, "native")
      for (const [setting, name] of [
        ["portable", "node"],
        ["native", "native"],
        ["auto", "native"]
      ] as const) {
        const both = yield* Effect.provide(Effect.all([lane, protection]), environment(setting))
        assert.deepStrictEqual(both, [setting === "auto" ? "native" : setting, name])
      }
    })
  )

  it.live("a value of MPQUIC_LANE that does not exist is an error that names it", () =>
    Effect.gen(function* () {
      const fromBind = yield* Effect.flip(
        Effect.scoped(Effect.flatMap(UdpSocket.UdpSocket, ({ bind }) => bind(loopback)))
      )
      for (const error of [fromBind, yield* Effect.flip(PacketProtection.forLane("auto"))]) {
        const { field, value, allowed } = badConfig(error)
        assert.deepStrictEqual([field, value, allowed], ["MPQUIC_LANE", '"fast"', "auto, portable or native"])
      }
    }).pipe(Effect.provide(Layer.fresh(UdpSocket.layer)), Effect.provide(environment("fast")))
  )

  live("the setting of a program goes before the environment, socket by socket", () =>
    Effect.gen(function* () {
      const { bind, wildcards } = yield* UdpSocket.UdpSocket
      const covers = (lane: "auto" | "portable" | "native") =>
        Effect.scoped(Effect.map(bind({ host: "0.0.0.0", port: 0 }, { lane }), (socket) => socket.covers !== undefined))
      assert.isFalse(yield* covers("auto"))
      assert.isFalse(yield* covers("portable"))
      assert.isTrue(yield* covers("native"))
      assert.isFalse(yield* wildcards!())
      assert.isTrue(yield* wildcards!({ lane: "native" }))
      assert.strictEqual((yield* PacketProtection.forLane("native")).name, "native")
      assert.strictEqual((yield* PacketProtection.forLane("auto")).name, "node")
    }).pipe(Effect.provide(Layer.fresh(UdpSocket.layer)), Effect.provide(environment("portable")))
  )

  live("a protection that a Layer provides goes before every lane", () =>
    Effect.gen(function* () {
      const name = Effect.map(PacketProtection.forLane("native"), (protection) => protection.name)
      assert.strictEqual(yield* Effect.provide(name, PacketProtection.layerNoble), "noble")
      assert.strictEqual(yield* Effect.provide(name, PacketProtection.layerNode), "node")
      assert.strictEqual(yield* Effect.provide(name, PacketProtection.layerNative), "native")
    })
  )

  live("a setting that the provided sockets cannot follow is an error", () =>
    Effect.gen(function* () {
      const one = yield* Effect.flip(Effect.provide(insist("native"), UdpSocket.layerNode))
      const other = yield* Effect.flip(Effect.provide(insist("portable"), UdpSocket.layerNative))
      assert.strictEqual(badConfig(one).field, "lane")
      assert.include(badConfig(other).message, "provide UdpSocket.layer")
      yield* Effect.provide(insist("portable"), UdpSocket.layerNode)
      yield* Effect.provide(insist("native"), UdpSocket.layerNative)
    })
  )

  it.live("bindAll expands wildcards where sockets do not tell their addresses", () =>
    Effect.gen(function* () {
      const service = UdpSocket.UdpSocket.of({
        bind: bindNodeUdp,
        hosts: ["127.0.0.1", "127.0.0.2"],
        wildcards: () => Effect.succeed(false),
        lane: "portable"
      })
      const sockets = yield* Effect.provideService(
        UdpSocket.bindAll({ host: "0.0.0.0", port: 0 }),
        UdpSocket.UdpSocket,
        service
      )
      assert.deepStrictEqual(
        sockets.map(({ local }) => local.host),
        ["127.0.0.1", "127.0.0.2"]
      )
    })
  )
})

interface Lanes {
  readonly lane: string
  readonly protection: string
  readonly logged: ReadonlyArray<string>
}

/** The lanes of a process of its own. */
const lanesOf = (
  flags: ReadonlyArray<string>,
  env: Record<string, string> = {}
): Lanes & { readonly stderr: string } => {
  const script = fileURLToPath(new URL("fixtures/lanes.ts", import.meta.url))
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [...flags, script], {
    encoding: "utf8",
    env: { ...process.env, MPQUIC_LANE: "", NODE_OPTIONS: "", ...env }
  })
  assert.strictEqual(status, 0, `${signal} ${stderr}`)
  return { ...(JSON.parse(stdout) as Lanes), stderr }
}

describe("A1: in a worker", () => {
  const inWorker = async (env: Record<string, string>): Promise<Lanes> => {
    const { code, stdout, stderr } = await run("laneInWorker.ts", [], [], env)
    assert.strictEqual(code, 0, stderr)
    return JSON.parse(stdout) as Lanes
  }

  test("the lane is portable and says why; MPQUIC_LANE forces the native one", { timeout: 60_000 }, async () => {
    const lanes = await inWorker({ MPQUIC_LANE: "auto" })
    assert.deepStrictEqual([lanes.lane, lanes.protection], ["portable", "node"])
    assert.include(lanes.logged[0], "in a worker it could end the whole process")
    const forced = await inWorker({ MPQUIC_LANE: "native" })
    assert.deepStrictEqual([forced.lane, forced.protection], ["native", "native"])
  })
})

describe("where native code cannot be", () => {
  const permissions = ["--permission", "--allow-fs-read=*", "--allow-net"]
  const ways: Record<string, { readonly flags: ReadonlyArray<string>; readonly why: string }> = {
    "the permission model forbids it": { flags: permissions, why: "start Node with --allow-ffi" },
    "Node is without node:ffi": { flags: ["--no-experimental-ffi"], why: "has no node:ffi" }
  }
  for (const [way, { flags, why }] of Object.entries(ways)) {
    test(`${way}: the portable lane works, says why in the log, and insisting is an error`, { timeout: 60_000 }, () => {
      const lanes = lanesOf(flags, { MPQUIC_LANE: "auto" })
      assert.strictEqual(lanes.lane, "portable")
      assert.strictEqual(lanes.protection, "node")
      assert.lengthOf(lanes.logged, 1)
      assert.include(lanes.logged[0], "portable lane")
      assert.include(lanes.logged[0], why)
      const forced = lanesOf(flags, { MPQUIC_LANE: "native" })
      assert.include(forced.lane, "MPQUIC_LANE is native")
      assert.include(forced.lane, why)
      assert.strictEqual(forced.protection, forced.lane)
    })
  }

  test("permitted, it is native, warns once, and can be told not to", { timeout: 60_000 }, () => {
    const lanes = lanesOf([...permissions, "--allow-ffi"], { MPQUIC_LANE: "auto" })
    assert.strictEqual(lanes.lane, "native")
    assert.strictEqual(lanes.protection, "native")
    assert.lengthOf(lanes.logged, 1)
    assert.include(lanes.logged[0], "native lane")
    assert.lengthOf(lanes.stderr.match(/FFI is an experimental feature/g) ?? [], 1)
    const silent = lanesOf(["--disable-warning=ExperimentalWarning"], { MPQUIC_LANE: "auto" })
    assert.strictEqual(silent.stderr, "")
    // Who wants no native code does not load any.
    assert.strictEqual(lanesOf([], { MPQUIC_LANE: "portable" }).stderr, "")
  })
})
