/**
 * The benchmark's program over quiche in Node: `@currentspace/http3`, whose raw QUIC interface it uses in the `portable`
 * runtime (the faster one in bulk). Its connection window stays at its default of 100 MB: with a smaller one its sender
 * overruns the peer's limit now and then. It works in a thread of its own beside Node's, so its programs have two.
 */
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import type { Duplex } from "node:stream"
import {
  ALPN,
  chunk,
  fail,
  header,
  IDLE_TIMEOUT,
  readArguments,
  readCount,
  runClient,
  stdinClosed,
  STREAM_WINDOW,
  writeCount
} from "../contract.ts"
import type { Arguments, PeerConnection } from "../contract.ts"
import { selfSigned } from "./certificate.ts"

const IMPL = "quiche 0.29 in Node (@currentspace/http3 0.9.0, portable)"

/** What is used of the package, which is installed outside the project. */
interface Http3 {
  readonly createQuicServer: (options: object) => {
    readonly on: (event: "session", listener: (session: Session) => void) => void
    readonly listen: (port: number, host: string) => Promise<unknown>
  }
  readonly connectQuicAsync: (authority: string, options: object) => Promise<Session>
}

interface Session {
  readonly on: (event: "stream" | "error" | "close", listener: (stream: Duplex) => void) => void
  readonly openStream: () => Duplex
  readonly close: (code?: number) => Promise<void> | void
}

const installed = fileURLToPath(new URL("../../.cache/bench/node/", import.meta.url))
const { connectQuicAsync, createQuicServer } = createRequire(installed)("@currentspace/http3") as Http3

const settings = {
  runtimeMode: "portable",
  alpn: [ALPN],
  maxIdleTimeoutMs: IDLE_TIMEOUT,
  maxUdpPayloadSize: 1452,
  initialMaxStreamDataBidiLocal: STREAM_WINDOW
}

/** Writes `bytes` bytes, waits while the stream is full, and ends it. */
const write = async (stream: Duplex, bytes: number): Promise<void> => {
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!stream.write(left >= chunk.length ? chunk : chunk.subarray(0, left))) {
      await new Promise((resolve) => stream.once("drain", resolve))
    }
  }
  stream.end()
}

const answer = (stream: Duplex): void => {
  let start: Buffer = Buffer.alloc(0)
  let counted = 0
  let begun = false
  let upload = false
  stream.on("error", () => stream.destroy())
  stream.on("data", (data: Buffer) => {
    if (begun) {
      counted += data.length
      return
    }
    start = Buffer.concat([start, data])
    if (start.length < 9) return
    begun = true
    upload = start[8] === 1
    counted = start.length - 9
    if (!upload) void write(stream, readCount(start))
  })
  stream.on("end", () => {
    if (upload) stream.end(writeCount(counted))
  })
}

const serve = async ({ host, port }: Arguments): Promise<void> => {
  const server = createQuicServer({ ...settings, ...selfSigned(), maxConnections: 20_000 })
  server.on("session", (session) => {
    session.on("stream", answer)
    session.on("error", () => {})
  })
  await server.listen(port, host)
  console.log("ready")
  await stdinClosed()
  process.exit()
}

const connect = async ({ host, port }: Arguments): Promise<PeerConnection> => {
  const session = await connectQuicAsync(`${host}:${port}`, {
    ...settings,
    servername: "localhost",
    rejectUnauthorized: false
  })
  session.on("error", (error) => fail(String(error)))
  return {
    transfer: (bytes, upload) =>
      new Promise((resolve, reject) => {
        const stream = session.openStream()
        let received = 0
        let last: Buffer = Buffer.alloc(0)
        stream.on("error", reject)
        stream.on("data", (data: Buffer) => {
          received += data.length
          if (upload) last = Buffer.concat([last, data])
        })
        stream.on("end", () => {
          if (upload ? last.length === 8 && readCount(last) === bytes : received === bytes) resolve()
          else reject(new Error(`${received} bytes arrived`))
        })
        stream.write(header(bytes, upload))
        if (upload) void write(stream, bytes)
        else stream.end()
      }),
    close: async () => {
      await session.close(0)
    }
  }
}

const options = readArguments()
if (options.role === "server") await serve(options)
else await runClient(IMPL, options, () => connect(options))
process.exit()
