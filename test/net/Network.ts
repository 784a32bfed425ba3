/**
 * A network of its own: two namespaces, a client's and a server's, with veth links between them and nothing else.
 *
 * Link n has 10.n.0.1, fd00:n::1 and fe80::1 on the client's side (interface `cn`), and the same with 2 at the end on the
 * server's (`sn`).
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { readdirSync } from "node:fs"

export type Side = "client" | "server"

/** Names of namespaces begin with this and the process that made them, so that a later run can clear what a killed one left. */
const PREFIX = "mpqnet-"

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const namespaces = new Set<string>()
const children = new Set<ChildProcess>()
let made = 0

const remove = (namespace: string): void => {
  namespaces.delete(namespace)
  spawnSync("ip", ["netns", "del", namespace], { stdio: "ignore" })
}

/** Ends all peers and takes every namespace away. */
export const cleanUp = (): void => {
  for (const child of children) child.kill("SIGKILL")
  children.clear()
  for (const namespace of Array.from(namespaces)) remove(namespace)
}

/** Takes away what a run that was killed has left. */
export const sweep = (): void => {
  let names: ReadonlyArray<string> = []
  try {
    names = readdirSync("/run/netns")
  } catch {
    // None was ever made.
  }
  for (const name of names) {
    const owner = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split("-")[0]) : 0
    if (owner > 0 && !alive(owner)) remove(name)
  }
}

/** Why no network can be made here; undefined if it can. */
export const obstacle = (): string | undefined => {
  if (process.platform !== "linux") return "network namespaces are of Linux"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  const name = `${PREFIX}${process.pid}-try`
  const add = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" })
  if (add.error !== undefined) return "the program `ip` (package iproute2) is not there"
  if (add.status !== 0) return `no network namespace can be made: ${add.stderr.trim()}`
  namespaces.add(name)
  const link = spawnSync("ip", ["-n", name, "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1"], {
    encoding: "utf8"
  })
  remove(name)
  return link.status === 0 ? undefined : `no veth link can be made: ${link.stderr.trim()}`
}

/** How a link is slowed down: `netem` where the kernel has it, else `tbf`, whose delay is that of its queue. */
const shapes = (mbit: number): ReadonlyArray<ReadonlyArray<string>> => [
  ["netem", "delay", "5ms", "rate", `${mbit}mbit`, "limit", "120"],
  ["tbf", "rate", `${mbit}mbit`, "burst", "16kb", "latency", "40ms"]
]

export class Network {
  readonly client: string
  readonly server: string
  private readonly mbit: number

  constructor(links: number, mbit: number) {
    this.mbit = mbit
    const name = `${PREFIX}${process.pid}-${made++}`
    this.client = `${name}c`
    this.server = `${name}s`
    for (const namespace of [this.client, this.server]) {
      namespaces.add(namespace)
      execFileSync("ip", ["netns", "add", namespace])
      this.run(namespace, "link set lo up")
    }
    for (let link = 1; link <= links; link++) this.addLink(link)
  }

  namespace(side: Side): string {
    return side === "client" ? this.client : this.server
  }

  /** `ip` with these words in the namespace of that side. */
  ip(side: Side, command: string): void {
    this.run(this.namespace(side), command)
  }

  sysctl(side: Side, setting: string): void {
    execFileSync("ip", ["netns", "exec", this.namespace(side), "sysctl", "-qw", setting])
  }

  addLink(link: number): void {
    const [c, s] = [`c${link}`, `s${link}`]
    execFileSync("ip", [
      "link",
      "add",
      "name",
      c,
      "netns",
      this.client,
      "type",
      "veth",
      "peer",
      "name",
      s,
      "netns",
      this.server
    ])
    for (const [side, device, last] of [
      ["client", c, 1],
      ["server", s, 2]
    ] as const) {
      this.ip(side, `addr add 10.${link}.0.${last}/24 dev ${device}`)
      this.ip(side, `addr add fd00:${link}::${last}/64 dev ${device} nodad`)
      this.ip(side, `addr add fe80::${last}/64 dev ${device} nodad`)
      this.ip(side, `link set ${device} up`)
      this.shape(side, device)
    }
    this.awaitCarrier("client", c)
    this.awaitCarrier("server", s)
  }

  /** Hosts name only interfaces that run, and the kernel takes up to a second to say that both ends of a new link do. */
  private awaitCarrier(side: Side, device: string): void {
    for (let attempt = 0; attempt < 200; attempt++) {
      const shown = execFileSync("ip", ["-n", this.namespace(side), "-o", "link", "show", "dev", device], {
        encoding: "utf8"
      })
      if (/\bstate UP\b/.test(shown)) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
    throw new Error(`${device} does not come up`)
  }

  removeLink(link: number): void {
    this.ip("client", `link del c${link}`)
  }

  private shape(side: Side, device: string): void {
    for (const shape of shapes(this.mbit)) {
      const tc = ["netns", "exec", this.namespace(side), "tc", "qdisc", "replace", "dev", device, "root", ...shape]
      if (spawnSync("ip", tc, { stdio: "ignore" }).status === 0) return
    }
    throw new Error("the kernel has neither netem nor tbf to slow a link down")
  }

  /** Starts a program of Node in the namespace. Its standard input stays open until `close`. */
  node(side: Side, lane: string, args: ReadonlyArray<string>): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.namespace(side), process.execPath, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, MPQUIC_LANE: lane, NODE_OPTIONS: "--disable-warning=ExperimentalWarning", NO_COLOR: "1" }
    })
    children.add(child)
    child.on("close", () => children.delete(child))
    return child
  }

  close(): void {
    for (const namespace of [this.client, this.server]) remove(namespace)
  }

  private run(namespace: string, command: string): void {
    execFileSync("ip", ["-n", namespace, ...command.split(" ")], { stdio: ["ignore", "ignore", "pipe"] })
  }
}
