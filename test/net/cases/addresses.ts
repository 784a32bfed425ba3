/**
 * Which local address a connection or a path leaves from, and what the user is told when there is none or nobody answers.
 */
import { readdirSync } from "node:fs"
import { expect } from "../Cases.ts"
import type { Case } from "../Cases.ts"
import type { Network } from "../Network.ts"
import { get, start, withServer } from "../Program.ts"
import { Transfer } from "../Transfer.ts"

interface Refusal {
  readonly name: string
  readonly prepare?: (network: Network) => void
  readonly args: ReadonlyArray<string>
  readonly lanes?: ReadonlyArray<string>
  /** Exit code, and what standard error says. */
  readonly code: number
  readonly says: RegExp
}

/** Known to our own system: fails at once. */
const atOnce: ReadonlyArray<Refusal> = [
  { name: "no route", args: ["10.99.0.1/x"], code: 4, says: /no route from here to 10\.99\.0\.1:4433 \(ENETUNREACH\)/ },
  {
    name: "an unreachable route",
    prepare: (network) => network.ip("client", "route add unreachable 10.99.0.0/24"),
    args: ["10.99.0.1/x"],
    code: 4,
    says: /no route from here to 10\.99\.0\.1:4433 \(EHOSTUNREACH\)/
  },
  {
    name: "a prohibited route",
    prepare: (network) => network.ip("client", "route add prohibit 10.99.0.0/24"),
    args: ["10.99.0.1/x"],
    code: 4,
    says: /\(EACCES\); a route or a rule of this host forbids it/
  },
  {
    name: "the only interface down",
    prepare: (network) => network.ip("client", "link set c1 down"),
    args: ["10.1.0.2/x"],
    code: 4,
    says: /no route from here to 10\.1\.0\.2:4433 \(ENETUNREACH\)/
  },
  { name: "no IPv6 route", args: ["[2001:db8::1]/x"], code: 4, says: /no route from here to \[2001:db8::1\]:4433/ },
  {
    name: "a link-local address without its interface",
    args: ["[fe80::2]/x"],
    code: 4,
    says: /a link-local address needs its interface/
  },
  {
    name: "a local address that is not of this host",
    args: ["10.1.0.2/x", "--local", "10.1.0.77"],
    code: 7,
    says: /10\.1\.0\.77(:0)? is not an address of this host/
  },
  {
    name: "a local address of the other family",
    args: ["10.1.0.2/x", "--local", "fd00:1::1"],
    code: 4,
    says: /no route from fd00:1::1 to 10\.1\.0\.2:4433/
  }
]

/** Sockets of node:dgram hear of them neither unconnected nor connected: that takes IP_RECVERR. */
const softErrors = ["native"]

/** Said by the network, and by anybody who can send a packet: the handshake goes on until its timeout. */
const atTimeout: ReadonlyArray<Refusal> = [
  {
    name: "nobody on that port",
    args: ["10.1.0.2:9/x"],
    code: 4,
    says: /nobody listens on that port \(ECONNREFUSED\)/
  },
  {
    name: "no such host in a network at hand",
    lanes: softErrors,
    args: ["10.1.0.99/x"],
    code: 4,
    says: /the host cannot be reached \(EHOSTUNREACH\)/
  },
  {
    name: "a network that the next host cannot reach",
    prepare: (network) => {
      network.sysctl("server", "net.ipv4.ip_forward=1")
      network.ip("client", "route add 10.99.0.0/24 via 10.1.0.2")
    },
    lanes: softErrors,
    args: ["10.99.0.1/x"],
    code: 4,
    says: /the network cannot be reached \(ENETUNREACH\)/
  }
]

/** ms for the program to start and to end, on a busy machine; its timeout is 30 s. */
const AT_ONCE = 20_000

const refusals = (id: string, list: ReadonlyArray<Refusal>, timeout: number): ReadonlyArray<Case> =>
  list.map(({ args, code, lanes, name, prepare, says }) => ({
    name: `${id}: ${name}`,
    ...(lanes === undefined ? {} : { lanes }),
    links: 1,
    run: async (network, lane) => {
      prepare?.(network)
      const done = await get(network, lane, ...args, "--timeout", String(timeout / 1000))
      expect(done.code === code && says.test(done.stderr), `exit code ${done.code}: ${done.stderr}`)
      if (timeout > 10_000) expect(done.ms < AT_ONCE, `only after ${done.ms.toFixed(0)} ms`)
      else expect(done.ms > timeout, `already after ${done.ms.toFixed(0)} ms`)
      return `${done.stderr.trim()} (exit code ${done.code}, after ${done.ms.toFixed(0)} ms)`
    }
  }))

export const addresses: ReadonlyArray<Case> = [
  ...refusals("F5, F6: fails at once", atOnce, 30_000),
  ...refusals("F6: the timeout tells", atTimeout, 4500),
  {
    name: "F7: a path to another network leaves from the address that leads there",
    run: async (network, lane) => {
      network.sysctl("server", "net.ipv4.conf.all.rp_filter=1")
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433", "10.2.0.2:4433"] },
        client: { remote: "10.1.0.2:4433", paths: [{ remote: "10.2.0.2:4433" }], bytes: 3_000_000 }
      })
      await transfer.finish()
      const { local, received } = transfer.path(1, Infinity)!
      expect(local.startsWith("10.2.0.1:"), `path 1 leaves from ${local}`)
      expect(received > 300_000, `${received} bytes came over path 1`)
      return `from ${local}, ${received} bytes`
    }
  },
  {
    name: "D7: a path of the other family",
    run: async (network, lane) => {
      const transfer = await Transfer.begin(network, {
        lane,
        server: { listen: ["10.1.0.2:4433", "[fd00:2::2]:4433"] },
        client: {
          remote: "10.1.0.2:4433",
          paths: [{ remote: "[fd00:2::2]:4433" }, { remote: "[2001:db8::1]:4433" }, { local: "fd00:2::1" }],
          bytes: 3_000_000
        }
      })
      await transfer.finish()
      const { local, received } = transfer.path(1, Infinity)!
      expect(local.startsWith("[fd00:2::1]:"), `path 1 leaves from ${local}`)
      expect(received > 300_000, `${received} bytes came over path 1`)
      const failed = transfer.client.lines.flatMap((line) => (line.kind === "failed" ? [line.reason] : []))
      expect(failed.join() === "AddressUnreachable,AddressUnreachable", `the others ended with ${failed.join()}`)
      return `from ${local}, and AddressUnreachable for those that cannot be`
    }
  },
  {
    name: "F8: the first --local leads nowhere, the second stands in",
    run: (network, lane) =>
      withServer(network, lane, 300_000, ["10.2.0.2:4433"], async ({ out }) => {
        // It is an address of this host with a route; the carrier alone is gone.
        network.ip("client", "route add 10.2.0.2 dev c1 src 10.1.0.1 table 100")
        network.ip("client", "rule add from 10.1.0.1 table 100")
        network.ip("server", "link set s1 down")
        const locals = ["--local", "10.1.0.1", "--local", "10.2.0.1"]
        const done = await get(network, lane, "10.2.0.2:4433/file.bin", "--out", out, ...locals)
        expect(done.code === 0, done.stderr)
        const { local } = done.json().paths[0]
        expect(local.startsWith("10.2.0.1:"), `path 0 leaves from ${local}`)
        expect(done.json().seconds < 5, `only after ${done.ms.toFixed(0)} ms`)
        return `path 0 leaves from ${local}, all done after ${done.json().seconds} s`
      })
  },
  {
    name: "F8: the first --local is not of this host",
    links: 1,
    run: (network, lane) =>
      withServer(network, lane, 300_000, ["10.1.0.2:4433"], async ({ out }) => {
        const locals = ["--local", "10.7.0.1", "--local", "10.1.0.1"]
        const done = await get(network, lane, "10.1.0.2:4433/file.bin", "--out", out, ...locals)
        expect(done.code === 0, done.stderr)
        expect(done.json().paths[0].local.startsWith("10.1.0.1:"), "path 0 leaves from elsewhere")
        return "the second stands in"
      })
  },
  {
    name: "D7: --via that leads nowhere is told at once, and the others carry on",
    links: 1,
    run: (network, lane) =>
      withServer(network, lane, 2_000_000, ["10.1.0.2:4433"], async ({ out }) => {
        const via = ["--via", "[fe80::2]:4433", "--via", "10.99.0.1:4433"]
        const done = await get(network, lane, "10.1.0.2:4433/file.bin", "--out", out, ...via)
        expect(done.code === 0, done.stderr)
        for (const to of ["[fe80::2]:4433", "10.99.0.1:4433"])
          expect(done.stderr.includes(`no further path to ${to}: there is no route from here`), done.stderr)
        expect(done.json().paths.length === 1, JSON.stringify(done.json().paths))
        return "a line for each, and one path"
      })
  },
  {
    name: "D11: --idle-timeout shortens the wait for a dead server, and nothing is left behind",
    links: 1,
    run: (network, lane) =>
      withServer(network, lane, 20_000_000, ["10.1.0.2:4433"], async ({ out }) => {
        const args = ["get", "--insecure", "10.1.0.2:4433/file.bin", "--out", out, "--idle-timeout", "2"]
        const running = start(network, "client", lane, args)
        await running.saw(/Mbit\/s/)
        network.ip("server", "link set s1 down")
        const lost = performance.now()
        const done = await running.finished
        const after = performance.now() - lost
        expect(done.code === 1, `exit code ${done.code}: ${done.stderr}`)
        expect(/nothing was heard .* for 2s: .*; give it longer with --idle-timeout/.test(done.stderr), done.stderr)
        expect(after < 15_000, `only after ${after.toFixed(0)} ms`)
        expect(readdirSync(out).length === 0, "a part is left behind")
        return `after ${after.toFixed(0)} ms`
      })
  },
  {
    name: "F12: link-local addresses are written with the interface's name",
    links: 1,
    run: (network, lane) =>
      withServer(network, lane, 300_000, ["[fe80::2%s1]:4433"], async ({ out, stdout }) => {
        expect(stdout.includes("listening on [fe80::2%s1]:4433"), stdout)
        const done = await get(network, lane, "https://[fe80::2%c1]:4433/file.bin", "--out", out)
        expect(done.code === 0, done.stderr)
        const { local, remote } = done.json().paths[0]
        expect(/^\[fe80::[^%]+%c1\]:\d+$/.test(local) && remote === "[fe80::2%c1]:4433", `${local} -> ${remote}`)
        return `${local} -> ${remote}`
      })
  }
]
