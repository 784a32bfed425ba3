import { assert, describe, it } from "@effect/vitest"
import type { Path } from "../../src/internal/paths/Path.ts"
import { collectUsable } from "../../src/internal/paths/usable.ts"

/** What the rule reads of a path. */
interface Facts {
  readonly open: boolean
  readonly validated: boolean
  readonly state: "active" | "potentiallyFailed"
  readonly status: "available" | "backup"
  readonly remoteStatus: "available" | "backup" | undefined
  readonly hasId: boolean
  readonly moved: boolean
}

const path = (id: number, facts: Partial<Facts> = {}): Path => {
  const { hasId = true, moved = false, ...rest } = facts
  return {
    id,
    open: true,
    validated: true,
    state: "active",
    status: "available",
    remoteStatus: undefined,
    remoteIds: { active: hasId ? {} : undefined },
    previous: moved ? {} : undefined,
    ...rest
  } as unknown as Path
}

const usable = (...paths: ReadonlyArray<Path>): ReadonlyArray<number> => {
  const found: Array<Path> = []
  collectUsable(paths, found)
  return found.map(({ id }) => id)
}

describe("paths that may carry data", () => {
  it("STA-1: a backup path does while there is no available one, full windows or not", () => {
    assert.deepStrictEqual(usable(path(0), path(1, { status: "backup" })), [0])
    assert.deepStrictEqual(usable(path(0, { remoteStatus: "backup" }), path(1)), [1])
  })

  it("STA-2: all backup gives no guidance", () => {
    assert.deepStrictEqual(usable(path(0, { status: "backup" }), path(1, { remoteStatus: "backup" })), [0, 1])
  })

  it("a backup path goes before one that seems to have failed, and that before nothing", () => {
    const failed = path(0, { state: "potentiallyFailed" })
    assert.deepStrictEqual(usable(failed, path(1, { status: "backup" })), [1])
    assert.deepStrictEqual(usable(failed, path(1, { validated: false })), [0])
    assert.deepStrictEqual(usable(failed, path(1, { state: "potentiallyFailed", status: "backup" })), [0])
  })

  it("RFC 9000 9.3: an address that is not proven carries data if no proven one works", () => {
    const moved = path(1, { validated: false, moved: true })
    assert.deepStrictEqual(usable(path(0), moved), [0])
    assert.deepStrictEqual(usable(path(0, { state: "potentiallyFailed" }), moved), [1])
    assert.deepStrictEqual(usable(path(0, { validated: false })), [0])
    assert.deepStrictEqual(usable(path(2, { validated: false })), [])
  })

  it("closed paths, and paths without a connection ID of the peer, carry nothing", () => {
    assert.deepStrictEqual(usable(path(0, { open: false }), path(1, { hasId: false })), [])
  })
})
