/**
 * One measurement: two new processes, a server and a client, and one number (or a few) from them.
 */
import { complete, cpuSecondsOf, nodeProgram, freePort, residentBytesOf, run, sleep } from "./processes.ts"
import type { Result, Running } from "./processes.ts"
import { subjects } from "./subjects.ts"
import type { Subject } from "./subjects.ts"

/** Values by name. `undefined`: could not be measured, and why is in `problems`. */
export type Values = Readonly<Record<string, number>>

/** ms that one client may take. */
const LIMIT = 180_000

/** ms after which memory is looked at: what is going to be freed is. */
const SETTLE = 1500

/** For figures of which the contract's 60 s would see the end: opening 10,000 connections takes a while. */
const PATIENT: ReadonlyArray<string> = ["--idle-timeout", "600000"]

/** Of the last transfer of each lane: what its ceiling imitates. */
const shapes = new Map<string, ReadonlyArray<string>>()

const numberOf = (result: Result, key: string): number => {
  const value = result[key]
  if (typeof value !== "number") throw new Error(`there is no ${key} in ${JSON.stringify(result)}`)
  return value
}

const subjectOf = (name: string): Subject => {
  const subject = subjects.get(name)
  if (subject === undefined) throw new Error(`there is no ${name}`)
  if (!subject.installed) throw new Error("not built (node bench/peers/build.ts)")
  return subject
}

/** Starts a server, does something with it, and ends it. */
const withServer = async <A>(
  subject: Subject,
  body: (server: Running, addr: ReadonlyArray<string>) => Promise<A>,
  more: ReadonlyArray<string> = []
): Promise<A> => {
  const addr = ["--addr", `127.0.0.1:${await freePort()}`, ...(subject.args ?? []), ...more]
  const server = await run(subject, ["server", ...addr])
  try {
    return await body(server, addr)
  } finally {
    await server.stop()
  }
}

/** Packets for each acknowledgement, and bytes of a packet, as the library had them in this transfer. */
const rememberShape = (name: string, mode: string, result: Result): void => {
  const packets = result["packets"] as { sent: number; received: number } | undefined
  const path = (result["paths"] as ReadonlyArray<{ bytesSent: number; bytesReceived: number }> | undefined)?.[0]
  if (packets === undefined || path === undefined) return
  const [data, acks] = mode === "upload" ? [packets.sent, packets.received] : [packets.received, packets.sent]
  const bytes = mode === "upload" ? path.bytesSent : path.bytesReceived
  shapes.set(`${name} ${mode}`, [
    "--ack-every",
    (data / Math.max(acks, 1)).toFixed(2),
    "--packet-bytes",
    String(Math.min(1472, Math.round(bytes / data)))
  ])
}

/** One stream: Gbit/s, and CPU seconds of both ends together for each GB. */
export const transfer = (
  name: string,
  mode: "download" | "upload",
  bytes: number,
  more: ReadonlyArray<string> = []
): Promise<Values> => {
  const subject = subjectOf(name)
  const wanted = Math.min(bytes, subject.bytes ?? bytes)
  return withServer(subject, async ({ pid }, addr) => {
    const before = cpuSecondsOf(pid)
    const shape = subject.imitates === undefined ? [] : (shapes.get(`${subject.imitates} ${mode}`) ?? [])
    const result = await complete(
      subject,
      ["client", ...addr, "--mode", mode, "--bytes", String(wanted), ...shape, ...more],
      LIMIT
    )
    const after = cpuSecondsOf(pid)
    rememberShape(name, mode, result)
    const gbps = numberOf(result, "gbps")
    // What the server did to warm up is not told apart.
    if (before === undefined || after === undefined || more.includes("--warm")) return { gbps }
    return { gbps, cpuPerGb: (numberOf(result, "transfer_cpu_s") + after - before) / (wanted / 1e9) }
  })
}

/** Sequential requests, or full handshakes, a second. */
export const rate = (name: string, mode: "rr" | "handshakes", count: number): Promise<Values> => {
  const subject = subjectOf(name)
  return withServer(subject, async (_, addr) => ({
    per_s: numberOf(
      await complete(subject, ["client", ...addr, "--mode", mode, "--count", String(count)], LIMIT),
      "per_s"
    )
  }))
}

/** Concurrent streams on one connection: Gbit/s of all together. */
export const streams = (name: string, count: number): Promise<Values> => {
  const subject = subjectOf(name)
  return withServer(subject, async (_, addr) => ({
    gbps: numberOf(
      await complete(subject, ["client", ...addr, "--mode", "streams", "--count", String(count)], LIMIT),
      "gbps"
    )
  }))
}

const idleClient = (subject: Subject, addr: ReadonlyArray<string>, count: number): Promise<Running> =>
  run(subject, ["client", ...addr, "--mode", "idle", "--count", String(count)], LIMIT)

/**
 * What idle connections cost the server: bytes of resident memory for each of `count`, beyond those of a first lot that
 * warms the server up; the same after a full collection where it can be asked for; CPU per cent of one core over
 * `watch` ms, if that is asked for.
 */
export const idle = (name: string, count: number, watch = 0): Promise<Values> => {
  const subject = subjectOf(name)
  return withServer(
    subject,
    async ({ pid }, addr) => {
      const collects = subject.command.includes("--expose-gc")
      const look = async (): Promise<{ plain: number; collected: number }> => {
        await sleep(SETTLE)
        const plain = residentBytesOf(pid)
        if (plain === undefined) throw new Error("resident memory is read from /proc")
        if (!collects) return { plain, collected: NaN }
        process.kill(pid, "SIGUSR2")
        await sleep(SETTLE)
        return { plain, collected: residentBytesOf(pid)! }
      }
      const first = await idleClient(subject, addr, Math.ceil(count / 4))
      const before = await look()
      const second = await idleClient(subject, addr, count)
      const after = await look()
      const cpu = cpuSecondsOf(pid)!
      if (watch > 0) await sleep(watch)
      const cpuPercent = watch > 0 ? { cpuPercent: ((cpuSecondsOf(pid)! - cpu) / (watch / 1000)) * 100 } : {}
      await Promise.all([first.stop(), second.stop()])
      return {
        bytes: (after.plain - before.plain) / count,
        ...(collects ? { collectedBytes: (after.collected - before.collected) / count } : {}),
        ...cpuPercent
      }
    },
    watch > 0 ? PATIENT : []
  )
}

/** Handshakes a second and Gbit/s of one stream while a server already has so many idle connections. */
export const beside = (name: string, connections: number): Promise<Values> => {
  const subject = subjectOf(name)
  return withServer(
    subject,
    async (_, addr) => {
      const others = connections > 0 ? await idleClient(subject, addr, connections) : undefined
      const handshakes = await complete(subject, ["client", ...addr, "--mode", "handshakes", "--count", "300"], LIMIT)
      const download = await complete(subject, ["client", ...addr, "--mode", "download", "--bytes", "100000000"], LIMIT)
      await others?.stop()
      return { per_s: numberOf(handshakes, "per_s"), gbps: numberOf(download, "gbps") }
    },
    PATIENT
  )
}

/** Gbit/s of a download over two paths through relays of so many Mbit/s each. */
export const relayed = (name: string, mbps: number, bytes: number): Promise<Values> => {
  const subject = subjectOf(name)
  return withServer(subject, async (_, addr) => {
    const relay = await run(nodeProgram("relay", "bench/relay.ts"), [...addr.slice(0, 2), "--mbps", String(mbps)])
    try {
      const [one, two] = relay.firstLine.split(" ")
      const paths = ["--local", "127.0.0.1", "--local", "127.0.0.2", "--via", one!, "--via", two!]
      const result = await complete(
        subject,
        ["client", ...addr, "--mode", "download", "--bytes", String(bytes), ...paths],
        LIMIT
      )
      return { gbps: numberOf(result, "gbps") }
    } finally {
      await relay.stop()
    }
  })
}
