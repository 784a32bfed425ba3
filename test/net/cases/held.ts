/** What held from the beginning, and must go on holding. */
import { setTimeout as sleep } from "node:timers/promises"
import { expect } from "../Cases.ts"
import type { Case } from "../Cases.ts"
import { Transfer } from "../Transfer.ts"
import { twoPaths } from "./outages.ts"

const mtu = (network: Parameters<Case["run"]>[0], bytes: number): void => {
  for (const link of [1, 2]) {
    network.ip("client", `link set c${link} mtu ${bytes}`)
    network.ip("server", `link set s${link} mtu ${bytes}`)
  }
}

const { client, server } = twoPaths

const smallMtu = (bytes: number, lane: string): Case => ({
  name: `an MTU of ${bytes}`,
  lanes: [lane],
  run: async (network) => {
    mtu(network, bytes)
    const transfer = await Transfer.begin(network, { lane, server, client: { ...client, bytes: 3_000_000 } })
    await transfer.finish()
    const found = transfer.path(0, Infinity)!.mtu
    // The portable lane cannot forbid that the system fragments packets, and so never learns.
    expect(lane === "portable" || found <= bytes - 28, `packets of ${found} bytes`)
    return `packets of ${found} bytes from the client`
  }
})

export const held: ReadonlyArray<Case> = [
  {
    name: "all paths down for 7.5 s",
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, { lane, server, client: { ...client, bytes: 9_000_000 } })
      await transfer.inUse([0, 1])
      network.ip("client", "link set c1 down")
      network.ip("client", "link set c2 down")
      await sleep(7500)
      const back = transfer.act(() => {
        network.ip("client", "link set c1 up")
        network.ip("client", "link set c2 up")
      })
      await transfer.finish()
      const again = Math.min(transfer.resumed(0, back), transfer.resumed(1, back))
      const late = transfer.late(back, again)
      expect(again <= 3000 + late, `bytes came again only after ${again.toFixed(0)} ms`)
      return `bytes came again after ${again.toFixed(0)} ms`
    }
  },
  smallMtu(1280, "native"),
  smallMtu(1280, "portable"),
  smallMtu(1400, "native"),
  smallMtu(1400, "portable"),
  {
    name: "an MTU that is lowered midway",
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, { lane, server, client: { ...client, bytes: 8_000_000 } })
      await transfer.inUse([0, 1])
      const lowered = transfer.act(() => mtu(network, 1320))
      await transfer.finish()
      return `stalled ${transfer.stall(lowered, 3000).toFixed(0)} ms`
    }
  },
  {
    name: "one [::] serves both families",
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["[::]:4433"] },
        client: {
          remote: "[fd00:1::2]:4433",
          local: "[fd00:1::1]:0",
          paths: [{ local: "10.2.0.1", remote: "10.2.0.2:4433" }],
          bytes: 3_000_000
        }
      })
      await transfer.finish()
      const [six, four] = [transfer.path(0, Infinity)!.received, transfer.path(1, Infinity)!.received]
      expect(six > 300_000 && four > 300_000, `${six} bytes came over IPv6, ${four} over IPv4`)
      return `${six} bytes over IPv6, ${four} over IPv4`
    }
  },
  {
    name: "a wildcard answers from the address that was asked",
    run: async (network, lane) => {
      network.ip("server", "addr add 10.1.0.22/24 dev s1")
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["0.0.0.0:4433"] },
        client: { remote: "10.1.0.22:4433", paths: [{ local: "10.1.0.1", remote: "10.1.0.2:4433" }], bytes: 3_000_000 }
      })
      await transfer.finish()
      const { remote } = transfer.path(0, Infinity)!
      expect(remote === "10.1.0.22:4433", `path 0 leads to ${remote}`)
      expect(transfer.path(1, Infinity)!.received > 300_000, "the path to the other address was not used")
      return "over both addresses of one interface"
    }
  },
  {
    name: "sends that are refused cost nothing",
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433"] },
        client: { remote: "10.1.0.2:4433", bytes: 4_000_000, direction: "up" }
      })
      await transfer.inUse([0])
      const from = transfer.act(() => network.ip("client", "route add prohibit 10.1.0.2"))
      await sleep(5000)
      const to = transfer.act(() => network.ip("client", "route del prohibit 10.1.0.2"))
      await transfer.finish()
      const cpu = transfer.cpu("client", from + 500, to)
      expect(cpu < 0.5, `${cpu.toFixed(2)} s of processor time in 4.5 s`)
      return `${cpu.toFixed(2)} s of processor time in 4.5 s`
    }
  },
  {
    name: "socket buffers of 64 kB",
    run: async (network, lane) => {
      const settings = { socketReceiveBuffer: 65_536, socketSendBuffer: 65_536 }
      const transfer = await Transfer.begin(network, {
        lane,
        server: { ...server, settings },
        client: { ...client, settings, bytes: 4_000_000 }
      })
      await transfer.finish()
      return `${transfer.rate(transfer.start, transfer.start + 1000).toFixed(1)} Mbit/s in the first second`
    }
  }
]
