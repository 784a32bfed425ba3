import { assert, describe, it } from "@effect/vitest"
import { RemoteConnectionIds } from "../../src/internal/paths/RemoteConnectionIds.ts"

const LIMIT = 4

const bytes = (sequence: number, length: number): Uint8Array => new Uint8Array(length).fill(sequence & 0xff)

describe("RemoteConnectionIds", () => {
  it("C11: the bound on open retirements counts each once, however often its frame is lost and acknowledged", () => {
    const ids = new RemoteConnectionIds(0, LIMIT, { addResetToken: () => {}, removeResetToken: () => {} })
    ids.setInitial(bytes(0, 8))
    let sequence = 0
    const retireOne = (): boolean => {
      sequence++
      return ids.add(sequence, sequence, bytes(sequence, 8), bytes(sequence, 16)) === undefined
    }
    // Sent twice, acknowledged twice: no credit is left over.
    for (let i = 0; i < 3 * 8 * LIMIT; i++) {
      assert.isTrue(retireOne())
      const retired = ids.pendingRetire.pop()!
      ids.onRetireLost(retired)
      ids.onRetireLost(retired)
      assert.deepStrictEqual(ids.pendingRetire, [retired], "once")
      ids.onRetireAcked(retired)
      assert.deepStrictEqual(ids.pendingRetire, [], "the peer knows")
      ids.onRetireAcked(retired)
      ids.onRetireLost(retired)
      assert.deepStrictEqual(ids.pendingRetire, [])
    }
    let open = 0
    while (retireOne()) {
      ids.onRetireLost(ids.pendingRetire.pop()!)
      open++
    }
    assert.strictEqual(open, 8 * LIMIT)
  })
})
