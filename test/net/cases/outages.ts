/**
 * A link is lost for a second while a transfer runs over two, and comes back: by its interface, its address, its route or
 * its carrier, on either side, the first path's or the second's.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { expect, expectStall } from "../Cases.ts"
import type { Case } from "../Cases.ts"
import type { Network } from "../Network.ts"
import { Transfer } from "../Transfer.ts"

interface Loss {
  readonly what: string
  readonly lose: (network: Network, link: number) => void
  readonly restore: (network: Network, link: number) => void
}

const losses: ReadonlyArray<Loss> = [
  {
    what: "the client's carrier",
    lose: (network, link) => network.ip("server", `link set s${link} down`),
    restore: (network, link) => network.ip("server", `link set s${link} up`)
  },
  {
    what: "the client's interface down",
    lose: (network, link) => network.ip("client", `link set c${link} down`),
    restore: (network, link) => network.ip("client", `link set c${link} up`)
  },
  {
    what: "the whole link",
    lose: (network, link) => network.removeLink(link),
    restore: (network, link) => network.addLink(link)
  },
  {
    what: "the client's address",
    lose: (network, link) => network.ip("client", `addr del 10.${link}.0.1/24 dev c${link}`),
    restore: (network, link) => network.ip("client", `addr add 10.${link}.0.1/24 dev c${link}`)
  },
  {
    what: "the server's address",
    lose: (network, link) => network.ip("server", `addr del 10.${link}.0.2/24 dev s${link}`),
    restore: (network, link) => network.ip("server", `addr add 10.${link}.0.2/24 dev s${link}`)
  },
  {
    what: "the client's route",
    lose: (network, link) => network.ip("client", `route del 10.${link}.0.0/24 dev c${link}`),
    restore: (network, link) => network.ip("client", `route add 10.${link}.0.0/24 dev c${link} src 10.${link}.0.1`)
  },
  {
    what: "the server's route",
    lose: (network, link) => network.ip("server", `route del 10.${link}.0.0/24 dev s${link}`),
    restore: (network, link) => network.ip("server", `route add 10.${link}.0.0/24 dev s${link} src 10.${link}.0.2`)
  }
]

export const twoPaths = {
  server: { listen: ["10.1.0.2:4433", "10.2.0.2:4433"] },
  client: {
    remote: "10.1.0.2:4433",
    local: "10.1.0.1",
    paths: [{ local: "10.2.0.1", remote: "10.2.0.2:4433" }]
  }
} as const

/**
 * ms: probe timeouts double, so that after a second of outage the next probe is at most another one away; and the kernel takes
 * up to a second to put a link with a new carrier to use.
 */
const USED_AGAIN = 2000

const outage = ({ lose, restore, what }: Loss, link: number, direction: "down" | "up", lane: string): Case => ({
  name: `${what} of path ${link - 1} goes for a second, ${direction}load`,
  lanes: [lane],
  run: async (network) => {
    const { client, server } = twoPaths
    const transfer = await Transfer.begin(network, {
      lane,
      server,
      client: { ...client, direction, bytes: 12_000_000 }
    })
    await transfer.inUse([0, 1])
    const lost = transfer.act(() => lose(network, link))
    await sleep(1000)
    const back = transfer.act(() => restore(network, link))
    await transfer.finish()
    const stall = expectStall(transfer, lost, { ptos: 3, window: 1000 })
    const again = transfer.resumed(link - 1, back)
    const late = transfer.late(back, again)
    expect(again <= USED_AGAIN + late, `the path was in use again only after ${again.toFixed(0)} ms`)
    return `${stall}, in use again after ${again.toFixed(0)} ms`
  }
})

const lossOf = (what: string): Loss => losses.find((loss) => loss.what === what)!

/** What is lost and what comes back, in the order of the steps, which are 500 ms apart. */
type Step = readonly ["lose" | "restore", number]

const orders: ReadonlyArray<readonly [name: string, steps: ReadonlyArray<Step>]> = [
  [
    "path 0, then path 1; back in that order",
    [
      ["lose", 1],
      ["lose", 2],
      ["restore", 1],
      ["restore", 2]
    ]
  ],
  [
    "path 0, then path 1; back the other way round",
    [
      ["lose", 1],
      ["lose", 2],
      ["restore", 2],
      ["restore", 1]
    ]
  ],
  [
    "path 1, then path 0; back in that order",
    [
      ["lose", 2],
      ["lose", 1],
      ["restore", 2],
      ["restore", 1]
    ]
  ],
  [
    "path 1, then path 0; back the other way round",
    [
      ["lose", 2],
      ["lose", 1],
      ["restore", 1],
      ["restore", 2]
    ]
  ],
  [
    "in turn, with no time between",
    [
      ["lose", 1],
      ["restore", 1],
      ["lose", 2],
      ["restore", 2]
    ]
  ]
]

/** ms after which two paths of 16 Mbit/s have carried the whole transfer, however the loss went. */
const PATIENCE = 20_000

const order = (name: string, steps: ReadonlyArray<Step>, what: string, lane: string): Case => ({
  name: `both paths go: ${name}: ${what}`,
  lanes: [lane],
  run: async (network) => {
    const { lose, restore } = lossOf(what)
    const { client, server } = twoPaths
    const transfer = await Transfer.begin(network, { lane, server, client: { ...client, bytes: 9_000_000 } })
    await transfer.inUse([0, 1])
    const begun = transfer.act(() => {})
    for (const [step, link] of steps) {
      if (step === "lose") lose(network, link)
      else restore(network, link)
      await sleep(500)
    }
    await transfer.finish(PATIENCE)
    // A path that was down for a second is probed within another one, because probe timeouts double.
    return expectStall(transfer, begun, { ptos: 3, window: 2500, extra: 500 + 1000 })
  }
})

const lanes = ["native", "portable"]

/** Every loss on every path in every lane, half of them downloads. */
export const outages: ReadonlyArray<Case> = [
  ...losses.flatMap((loss) =>
    [1, 2].flatMap((link) =>
      lanes.map((lane, index) => outage(loss, link, (link + index) % 2 === 0 ? "down" : "up", lane))
    )
  ),
  ...orders.flatMap(([name, steps], index) => [
    order(name, steps, "the client's carrier", lanes[index % 2]!),
    order(name, steps, "the client's address", lanes[(index + 1) % 2]!),
    order(name, steps, "the server's route", lanes[index % 2]!)
  ])
]
