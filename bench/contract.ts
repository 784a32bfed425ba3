/**
 * The contract that every stack's benchmark program follows: one small protocol, one command line, one JSON line. See
 * README.md for both.
 */
import { parseArgs } from "node:util"

/** The application protocol. */
export const ALPN = "bench"

/** Bytes of each download of the mode `streams`. */
export const STREAM_BYTES = 100_000

/** Flow control windows of every stack that lets them be set. */
export const STREAM_WINDOW = 16_000_000
export const CONNECTION_WINDOW = 24_000_000

/** ms after which a quiet connection is over. */
export const IDLE_TIMEOUT = 60_000

/** What senders write at a time. */
export const CHUNK_BYTES = 64 * 1024

export type Mode = "download" | "upload" | "rr" | "handshakes" | "idle" | "streams"

/** The command line, read. */
export interface Arguments {
  readonly role: "server" | "client"
  readonly host: string
  readonly port: number
  readonly mode: Mode
  readonly bytes: number
  readonly count: number
  readonly lane: "portable" | "native"
  /** Local addresses: the first for path 0, each further one for another path. */
  readonly locals: ReadonlyArray<string>
  /** Where each path goes, if not to `host` and `port`. */
  readonly vias: ReadonlyArray<string>
  readonly scheduler: string | undefined
  readonly congestion: string | undefined
  /** ms after which a quiet connection is over. */
  readonly idleTimeout: number
  /** Bytes of a transfer before the one that is measured, on the same connection. */
  readonly warm: number
  /** Ours only: run in before anything is measured. */
  readonly warmUp: boolean
  /** Ceiling only: packets for each acknowledgement, and UDP payload of a packet. */
  readonly ackEvery: number
  readonly packetBytes: number
}

const modes: ReadonlyArray<string> = ["download", "upload", "rr", "handshakes", "idle", "streams"] satisfies Array<Mode>

/** Ends the process with a message for people. */
export const fail = (message: string): never => {
  console.error(message)
  return process.exit(2)
}

/** Reads the command line; ends the process when it is wrong. */
export const readArguments = (): Arguments => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      addr: { type: "string", default: "127.0.0.1:4433" },
      mode: { type: "string", default: "download" },
      bytes: { type: "string", default: "200000000" },
      count: { type: "string", default: "1000" },
      lane: { type: "string", default: "portable" },
      local: { type: "string", multiple: true, default: [] },
      via: { type: "string", multiple: true, default: [] },
      scheduler: { type: "string" },
      congestion: { type: "string" },
      warm: { type: "string", default: "0" },
      "warm-up": { type: "boolean", default: false },
      "idle-timeout": { type: "string", default: String(IDLE_TIMEOUT) },
      "ack-every": { type: "string", default: "2" },
      "packet-bytes": { type: "string", default: "1452" }
    }
  })
  const [role] = positionals
  if (role !== "server" && role !== "client") return fail("The first argument is server or client.")
  if (!modes.includes(values.mode)) return fail(`--mode is one of ${modes.join(", ")}.`)
  if (values.lane !== "portable" && values.lane !== "native") return fail("--lane is portable or native.")
  const at = values.addr.lastIndexOf(":")
  return {
    role,
    host: values.addr.slice(0, at).replace(/^\[|\]$/g, ""),
    port: Number(values.addr.slice(at + 1)),
    mode: values.mode as Mode,
    bytes: Number(values.bytes),
    count: Number(values.count),
    lane: values.lane,
    locals: values.local,
    vias: values.via,
    scheduler: values.scheduler,
    congestion: values.congestion,
    idleTimeout: Number(values["idle-timeout"]),
    warm: Number(values.warm),
    warmUp: values["warm-up"],
    ackEvery: Number(values["ack-every"]),
    packetBytes: Number(values["packet-bytes"])
  }
}

/** The 9 bytes that begin a stream. */
export const header = (bytes: number, upload: boolean): Uint8Array => {
  const view = new DataView(new ArrayBuffer(9))
  view.setUint32(0, Math.floor(bytes / 2 ** 32))
  view.setUint32(4, bytes % 2 ** 32)
  view.setUint8(8, upload ? 1 : 0)
  return new Uint8Array(view.buffer)
}

/** An integer of 8 bytes, big-endian. */
export const readCount = (bytes: Uint8Array): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4)
}

/** The same integer in 8 bytes. */
export const writeCount = (count: number): Uint8Array => header(count, false).subarray(0, 8)

/** What senders send, again and again. */
export const chunk: Uint8Array = Buffer.from(
  Uint8Array.from({ length: CHUNK_BYTES }, (_, index) => (index * 31) & 0xff)
)

/** Seconds from a time that does not jump. */
export const seconds = (): number => performance.now() / 1000

/** User and system time of this process in seconds. */
export const cpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Prints a result as the contract's JSON line. */
export const report = (result: Record<string, unknown>): void => {
  console.log(
    JSON.stringify(result, (key, value: unknown) =>
      typeof value !== "number" || Number.isInteger(value) ? value : Number(value.toFixed(key === "per_s" ? 1 : 6))
    )
  )
}

/** Begins to measure a transfer. What it gives reports the end, with `more` fields. */
export const measureTransfer = (
  impl: string,
  mode: Mode,
  bytes: number
): ((more?: Record<string, unknown>) => void) => {
  const cpu = cpuSeconds()
  const start = seconds()
  return (more) => {
    const elapsed = seconds() - start
    const total = cpuSeconds()
    report({
      impl,
      mode,
      bytes,
      seconds: elapsed,
      gbps: (bytes * 8e-9) / elapsed,
      cpu_s: total,
      transfer_cpu_s: total - cpu,
      ...more
    })
  }
}

/** `count` things in sequence that took `elapsed` seconds. */
export const reportRate = (impl: string, mode: Mode, count: number, elapsed: number): void =>
  report({ impl, mode, count, seconds: elapsed, per_s: count / elapsed, cpu_s: cpuSeconds() })

/** `count` streams at a time that took `elapsed` seconds. */
export const reportStreams = (impl: string, count: number, elapsed: number): void =>
  report({
    impl,
    mode: "streams",
    count,
    seconds: elapsed,
    gbps: (count * STREAM_BYTES * 8e-9) / elapsed,
    cpu_s: cpuSeconds()
  })

/** `count` connections are open. */
export const reportIdle = (impl: string, count: number): void =>
  report({ impl, mode: "idle", count, rss_bytes: process.memoryUsage.rss() })

/** Resolves when whoever started this process closes its standard input. */
export const stdinClosed = (): Promise<void> =>
  new Promise((resolve) => {
    process.stdin.on("end", resolve).on("close", resolve).on("error", resolve).resume()
  })

/** One connection of a stack whose interface is made of promises. */
export interface PeerConnection {
  readonly transfer: (bytes: number, upload: boolean) => Promise<void>
  readonly close: () => Promise<void>
}

/** Runs the client's modes over such a stack. */
export const runClient = async (
  impl: string,
  { bytes, count, mode }: Arguments,
  connect: () => Promise<PeerConnection>
): Promise<void> => {
  if (mode === "handshakes") {
    const start = seconds()
    for (let done = 0; done < count; done++) await (await connect()).close()
    return reportRate(impl, mode, count, seconds() - start)
  }
  if (mode === "idle") {
    for (let done = 0; done < count; done++) await connect()
    reportIdle(impl, count)
    return stdinClosed()
  }
  const connection = await connect()
  if (mode === "download" || mode === "upload") {
    const end = measureTransfer(impl, mode, bytes)
    await connection.transfer(bytes, mode === "upload")
    end()
    return connection.close()
  }
  const start = seconds()
  if (mode === "rr") {
    for (let done = 0; done < count; done++) await connection.transfer(64, false)
    reportRate(impl, mode, count, seconds() - start)
  } else {
    await Promise.all(Array.from({ length: count }, () => connection.transfer(STREAM_BYTES, false)))
    reportStreams(impl, count, seconds() - start)
  }
  await connection.close()
}
