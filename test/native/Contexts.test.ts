/** OpenSSL's contexts are memory of the process: each that is made is freed, once, however its key ends. */
import { assert, describe, it } from "@effect/vitest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { vi } from "vitest"
import { makePacketBurst } from "../../src/internal/crypto/PacketBurst.ts"
import type * as Evp from "../../src/internal/runtime/native/Evp.ts"
import type * as Native from "../../src/internal/runtime/native/NativeProtection.ts"
import type { AeadAlgorithm } from "../../src/PacketProtection.ts"
import { skipped } from "./support.ts"

const counts = vi.hoisted(() => ({ made: [] as Array<bigint>, freed: [] as Array<bigint> }))

vi.mock("../../src/internal/runtime/native/Evp.ts", async (original) => {
  const real = await original<typeof Evp>()
  return {
    ...real,
    contextNew: () => {
      const context = real.contextNew()
      counts.made.push(context)
      return context
    },
    contextFree: (context: bigint) => {
      counts.freed.push(context)
      real.contextFree(context)
    }
  }
})

type Module = typeof Native

/** Native functions must not be collected while V8 may compile what calls them. */
const loaded: Array<Module> = []

/** The module as a worker loads it, and what it does when the worker exits. */
const loadInWorker = async (): Promise<{ readonly module: Module; readonly exit: () => void }> => {
  vi.resetModules()
  vi.doMock("node:worker_threads", async (original) => ({ ...(await original<object>()), isMainThread: false }))
  const listeners: Array<() => void> = []
  const on = vi.spyOn(process, "on").mockImplementation((event, listener) => {
    if (event === "exit") listeners.push(listener as () => void)
    return process
  })
  const module = await load()
  on.mockRestore()
  vi.doUnmock("node:worker_threads")
  return { module, exit: () => listeners.forEach((listener) => listener()) }
}

const load = async (): Promise<Module> => {
  const module = await import("../../src/internal/runtime/native/NativeProtection.ts")
  loaded.push(module)
  counts.made.length = counts.freed.length = 0
  return module
}

const lengths: Record<AeadAlgorithm, number> = { "aes-128-gcm": 16, "aes-256-gcm": 32, "chacha20-poly1305": 32 }

/** Keys of every kind that have been used in both directions: three contexts each. */
const use = ({ nativeProtection }: Module, rounds: number) => {
  const keys: Array<{ readonly close: () => void }> = []
  for (let i = 0; i < rounds; i++) {
    for (const algorithm of Object.keys(lengths) as Array<AeadAlgorithm>) {
      const bytes = new Uint8Array(lengths[algorithm]).fill(i)
      const key = nativeProtection.packetKey(algorithm, bytes, new Uint8Array(12))
      const burst = makePacketBurst(1, new Uint8Array(100))
      burst.pnOffset[0] = 1
      burst.pnLength[0] = 2
      burst.end[0] = 100
      key.seal(burst, 0, 1)
      assert.isTrue(key.open(burst, 0))
      keys.push(key, nativeProtection.headerKey(algorithm, bytes))
    }
  }
  return keys
}

/** Each that was made was freed once. */
const allFreed = (): void => {
  assert.strictEqual(new Set(counts.made).size, counts.made.length)
  assert.sameMembers(counts.freed, counts.made)
}

describe.skipIf(skipped)("G9: contexts of native keys", () => {
  it("are freed when their keys are closed, once and not before", async () => {
    const keys = use(await load(), 3)
    assert.lengthOf(counts.made, 3 * 3 * 3)
    assert.lengthOf(counts.freed, 0)
    for (const key of keys) key.close()
    for (const key of keys) key.close()
    allFreed()
  })

  it("are freed when their keys are lost", async () => {
    use(await load(), 20)
    setFlagsFromString("--expose-gc")
    const collect = runInNewContext("gc") as () => void
    for (let i = 0; i < 50 && counts.freed.length < counts.made.length; i++) {
      collect()
      await new Promise((resolve) => void setImmediate(resolve))
    }
    allFreed()
  })

  it("are freed at the end of a worker, which finalizes nothing, but for those of closed keys", async () => {
    const { exit, module } = await loadInWorker()
    const keys = use(module, 3)
    for (const key of keys.slice(0, 7)) key.close()
    assert.isAbove(counts.freed.length, 6)
    assert.isBelow(counts.freed.length, counts.made.length)
    exit()
    allFreed()
  })
})
