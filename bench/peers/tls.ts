/**
 * The benchmark's program over node:tls and TCP. A connection has one stream, so requests follow one another on it: each
 * is the header, then its bytes.
 */
import { once } from "node:events"
import { connect as tlsConnect, createServer } from "node:tls"
import type { TLSSocket } from "node:tls"
import { ALPN, chunk, fail, header, readArguments, readCount, runClient, stdinClosed, writeCount } from "../contract.ts"
import type { Arguments, PeerConnection } from "../contract.ts"
import { selfSigned } from "./certificate.ts"

const IMPL = `node:tls ${process.versions.node} (TCP)`

const settings = {
  ALPNProtocols: [ALPN],
  minVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256",
  ecdhCurve: "X25519"
} as const

/** Writes `bytes` bytes and waits while the socket is full. */
const write = async (socket: TLSSocket, bytes: number): Promise<void> => {
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!socket.write(left >= chunk.length ? chunk : chunk.subarray(0, left))) await once(socket, "drain")
  }
}

const serve = async ({ host, port }: Arguments): Promise<void> => {
  const server = createServer({ ...settings, ...selfSigned() }, (socket) => {
    socket.setNoDelay(true)
    let pending: Buffer = Buffer.alloc(0)
    let toCount = 0
    let counted = 0
    /** The answers before the next one: they follow one another. */
    let written = Promise.resolve()
    socket.on("error", () => socket.destroy())
    socket.on("data", (data: Buffer) => {
      let rest = data
      while (rest.length > 0) {
        if (counted < toCount) {
          const taken = Math.min(rest.length, toCount - counted)
          counted += taken
          rest = rest.subarray(taken)
          if (counted === toCount) socket.write(writeCount(counted))
          continue
        }
        pending = pending.length === 0 ? rest : Buffer.concat([pending, rest])
        rest = pending.subarray(9)
        if (pending.length < 9) return
        const bytes = readCount(pending)
        const upload = pending[8] === 1
        pending = Buffer.alloc(0)
        if (!upload) written = written.then(() => write(socket, bytes)).catch(() => void socket.destroy())
        toCount = upload ? bytes : 0
        counted = 0
      }
    })
  })
  server.listen(port, host)
  await once(server, "listening")
  console.log("ready")
  await stdinClosed()
  process.exit()
}

const connect = async ({ host, port }: Arguments): Promise<PeerConnection> => {
  const socket = tlsConnect({ ...settings, host, port, servername: "localhost", rejectUnauthorized: false })
  await once(socket, "secureConnect")
  socket.setNoDelay(true)
  /** Answers that are awaited, the oldest first: the bytes that are still to come. */
  const awaited: Array<{ left: number; readonly done: () => void }> = []
  socket.on("data", (data: Buffer) => {
    let length = data.length
    while (length > 0) {
      const first = awaited[0] ?? fail("more bytes than asked for")
      const taken = Math.min(length, first.left)
      first.left -= taken
      length -= taken
      if (first.left === 0) awaited.shift()!.done()
    }
  })
  return {
    transfer: async (bytes, upload) => {
      const answered = new Promise<void>((done) => awaited.push({ left: upload ? 8 : bytes, done }))
      socket.write(header(bytes, upload))
      if (upload) await write(socket, bytes)
      await answered
    },
    close: async () => {
      socket.destroy()
    }
  }
}

const options = readArguments()
if (options.role === "server") await serve(options)
else await runClient(IMPL, options, () => connect(options))
process.exit()
