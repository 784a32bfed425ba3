/** A client whose address changes while a transfer runs, and listeners and paths that follow the host's addresses. */
import { setTimeout as sleep } from "node:timers/promises"
import { expect, expectStall } from "../Cases.ts"
import type { Case } from "../Cases.ts"
import type { Network } from "../Network.ts"
import { Transfer } from "../Transfer.ts"
import { twoPaths } from "./outages.ts"

/** ms between two looks at the addresses of the host, when nothing is amiss. */
const LOOK = 1000

interface Change {
  readonly name: string
  readonly prepare?: (network: Network) => void
  readonly change: (network: Network) => void
  /** The local address that path 0 has in the end. */
  readonly local: string
}

const changes: ReadonlyArray<Change> = [
  {
    name: "its only address is replaced by another one",
    change: (network) => {
      network.ip("client", "addr del 10.1.0.1/24 dev c1")
      network.ip("client", "addr add 10.1.0.9/24 dev c1")
    },
    local: "10.1.0.9"
  },
  {
    name: "its address goes, and another interface has a route",
    prepare: (network) => network.ip("client", "route add 10.1.0.0/24 via 10.2.0.2 metric 1000"),
    change: (network) => network.ip("client", "addr del 10.1.0.1/24 dev c1"),
    local: "10.2.0.1"
  },
  {
    name: "its interface goes, and another one has a route",
    prepare: (network) => network.ip("client", "route add 10.1.0.0/24 via 10.2.0.2 metric 1000"),
    change: (network) => network.ip("client", "link set c1 down"),
    local: "10.2.0.1"
  }
]

const changing = ({ change, local, name, prepare }: Change, direction: "down" | "up"): Case => ({
  name: `F4: ${name}, ${direction}load`,
  run: async (network, lane) => {
    prepare?.(network)
    const transfer = await Transfer.begin(network, {
      lane,
      server: { listen: ["10.1.0.2:4433"] },
      client: { remote: "10.1.0.2:4433", bytes: 5_000_000, direction }
    })
    await transfer.inUse([0])
    const changed = transfer.act(() => change(network))
    await transfer.finish()
    const told = transfer.event("client", "PotentiallyFailed", 0, changed) - changed
    const moved = transfer.event("client", "Migrated", 0, changed) - changed
    const late = transfer.late(changed, 2000)
    const stall = expectStall(transfer, changed, { ptos: 3, window: 3000, extra: LOOK })
    expect(told <= LOOK + 300 + late, `the path is suspected only after ${told.toFixed(0)} ms`)
    const last = transfer.client.lines.findLast((line) => line.kind === "paths")
    const at = last?.kind === "paths" ? last.paths[0]!.local : ""
    expect(at.startsWith(`${local}:`), `path 0 leaves from ${at}`)
    return `suspected after ${told.toFixed(0)} ms, moved to ${at} after ${moved.toFixed(0)} ms, ${stall}`
  }
})

export const migration: ReadonlyArray<Case> = [
  ...changes.flatMap((change) => [changing(change, "down"), changing(change, "up")]),
  {
    name: "F4: path.migrate({ local })",
    run: async (network, lane) => {
      network.ip("client", "addr add 10.1.0.9/24 dev c1")
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433"] },
        client: {
          remote: "10.1.0.2:4433",
          local: "10.1.0.1",
          bytes: 5_000_000,
          migrate: { after: 800, local: "10.1.0.9" }
        }
      })
      await transfer.finish()
      const moved = transfer.event("client", "Migrated", 0)
      expect(moved < Infinity, "path 0 did not move")
      return expectStall(transfer, moved, { ptos: 3, window: 1000 })
    }
  },
  {
    name: "F9: one link comes up as the other goes down",
    run: async (network, lane) => {
      const { client, server } = twoPaths
      const transfer = await Transfer.begin(network, { lane, server, client: { ...client, bytes: 16_000_000 } })
      await transfer.inUse([0, 1])
      network.ip("client", "link set c2 down")
      await sleep(3000)
      const handed = transfer.act(() => {
        network.ip("client", "link set c2 up")
        network.ip("client", "link set c1 down")
      })
      await transfer.finish()
      // The address is seen again at the next look, which comes soon while one is missing.
      return expectStall(transfer, handed, { ptos: 3, window: 2000, extra: 200 })
    }
  },
  {
    name: "F10: a wildcard takes in an address that the host gets later",
    links: 1,
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["0.0.0.0:4433"] },
        client: { remote: "10.1.0.2:4433", bytes: 1_000_000 }
      })
      network.ip("server", "addr add 10.1.0.22/24 dev s1")
      await sleep(2 * LOOK)
      const second = await transfer.anotherClient(network, lane, { remote: "10.1.0.22:4433", bytes: 500_000 })
      await transfer.finish()
      return `the second client got ${second} bytes from 10.1.0.22`
    }
  }
]
