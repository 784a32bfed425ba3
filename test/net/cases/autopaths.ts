/** Paths that a client opens by itself, on links that are made, deleted and made again while a transfer runs. */
import { setTimeout as sleep } from "node:timers/promises"
import { expect } from "../Cases.ts"
import type { Case } from "../Cases.ts"
import type { Network } from "../Network.ts"
import type { PathLine } from "../protocol.ts"
import { Transfer } from "../Transfer.ts"

/** A further link, of which packets to the server's first address take the way that their source says. */
const addLink = (network: Network, link: number): void => {
  network.addLink(link)
  network.ip("client", `route add 10.1.0.2 dev c${link} table ${100 + link}`)
  network.ip("client", `rule add from 10.${link}.0.1 table ${100 + link}`)
  network.sysctl("client", `net.ipv4.conf.c${link}.rp_filter=0`)
}

const removeLink = (network: Network, link: number): void => {
  network.removeLink(link)
  network.ip("client", `rule del from 10.${link}.0.1`)
}

/** The last figures of the client's paths from this address. */
const pathFrom = (transfer: Transfer, host: string): PathLine | undefined =>
  transfer.client.lines
    .findLast((line) => line.kind === "paths")
    ?.paths.findLast(({ local, state }) => local.startsWith(`${host}:`) && state !== "closing" && state !== "closed")

/** Waits until it holds, and gives how many ms that took. */
const until = async (what: string, holds: () => boolean, limit = 5000): Promise<number> => {
  const from = performance.now()
  while (!holds()) {
    if (performance.now() - from > limit) throw new Error(`${what}: not within ${limit} ms`)
    await sleep(10)
  }
  return performance.now() - from
}

const carries = (transfer: Transfer, host: string) => (): boolean => (pathFrom(transfer, host)?.received ?? 0) > 200_000

export const autopaths: ReadonlyArray<Case> = [
  {
    name: "auto paths: a link is created, carries data, is deleted and created again",
    links: 1,
    run: async (network, lane) => {
      network.sysctl("client", "net.ipv4.conf.all.rp_filter=0")
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433"] },
        client: { remote: "10.1.0.2:4433", auto: true, bytes: 22_000_000 }
      })
      await transfer.inUse([0])
      addLink(network, 2)
      const created = await until("the new link carries", carries(transfer, "10.2.0.1"))
      removeLink(network, 2)
      const left = await until("its path is left", () => pathFrom(transfer, "10.2.0.1") === undefined)
      const kept = pathFrom(transfer, "10.1.0.1")
      expect(kept?.id === 0 && kept.state === "active", `path 0 is ${kept?.state}`)
      addLink(network, 2)
      const again = await until("the link carries again", carries(transfer, "10.2.0.1"))
      // And the address that the connection began on. The server's is of the same link, which stays therefore.
      network.ip("client", "addr del 10.1.0.1/24 dev c1")
      const moved = await until("path 0 is left", () => pathFrom(transfer, "10.1.0.1") === undefined)
      await transfer.finish()
      const [c, l, a, m] = [created, left, again, moved].map((ms) => ms.toFixed(0))
      return `carries after ${c} ms, left after ${l} ms, carries again after ${a} ms; path 0 left after ${m} ms`
    }
  },
  {
    name: "auto paths: the address of the only path goes and comes back",
    links: 1,
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433"] },
        client: { remote: "10.1.0.2:4433", auto: true, bytes: 4_000_000 }
      })
      await transfer.inUse([0])
      network.ip("client", "addr del 10.1.0.1/24 dev c1")
      await sleep(700)
      network.ip("client", "addr add 10.1.0.1/24 dev c1")
      await transfer.finish()
      expect(pathFrom(transfer, "10.1.0.1")?.id === 0, "it is not path 0 any more")
      return "path 0 goes on"
    }
  }
]
