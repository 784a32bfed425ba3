import { assert, describe, it } from "@effect/vitest"
import { NetAddress } from "effect/net"
import { pathNews } from "../../src/cli/Download.ts"
import type { Event } from "../../src/Path.ts"

const local = NetAddress.inetAddressFromIpStringUnsafe("192.0.2.9", 5000)
const remote = NetAddress.inetAddressFromIpStringUnsafe("192.0.2.1", 4433)

describe("what becomes of paths", () => {
  const cases: ReadonlyArray<readonly [Event, string | undefined]> = [
    [
      { _tag: "Abandoned", pathId: 1, initiator: "local", code: 0x3e76 },
      "path 1 is given up, for want of answers; it does not come back"
    ],
    [{ _tag: "Abandoned", pathId: 1, initiator: "peer", code: 0 }, "the server gave path 1 up; it does not come back"],
    [{ _tag: "Migrated", pathId: 0, local, remote }, "path 0 leaves from 192.0.2.9:5000 now"],
    [{ _tag: "PotentiallyFailed", pathId: 0 }, undefined]
  ]
  for (const [event, text] of cases) {
    it(`F3: is told in a line, where it lasts: ${event._tag}`, () => assert.strictEqual(pathNews(event), text))
  }
})
