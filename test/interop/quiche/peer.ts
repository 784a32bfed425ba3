/**
 * quiche, as a program of its own: `server CERTIFICATE KEY` or `client AUTHORITY PORT VERB ARGUMENTS...`, in the folder that
 * it is installed in. Always in its portable mode and with its own connection window: with a smaller one its sender overruns
 * the limits of the peer now and then.
 */
import { createHash } from "node:crypto"
import type { Duplex } from "node:stream"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { patternHash, pieces } from "../support/pattern.ts"

/** What is used of `@currentspace/http3`. */
interface Session {
  openStream(): Duplex & { close(code: number): void }
  sendDatagram(bytes: Uint8Array): boolean
  close(code?: number, reason?: string): unknown
  on(event: "stream", listener: (stream: Duplex) => void): void
  on(event: "datagram", listener: (bytes: Buffer) => void): void
  on(event: "close", listener: (info: { readonly errorCode: number; readonly reason: string }) => void): void
  on(event: "error", listener: (error: Error) => void): void
}
interface Quiche {
  createQuicServer(options: object): {
    on(event: "session", listener: (session: Session) => void): void
    on(event: "error", listener: (error: Error) => void): void
    listen(port: number, host: string): Promise<{ readonly port: number }>
  }
  connectQuicAsync(address: string, options: object): Promise<Session>
}

const [role = "", folder = "", ...args] = process.argv.slice(2)
const quiche = createRequire(join(folder, "package.json"))("@currentspace/http3") as Quiche

const shared = { alpn: ["interop"], runtimeMode: "portable", enableDatagrams: true }

const say = (event: string, fields: object = {}): void => {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
}

/** Writes with the patience of the stream. The FIN rides on the last bytes: quiche does not repeat an empty frame with FIN that was lost. */
const sendAll = async (stream: Duplex, all: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> => {
  let last: Uint8Array | undefined
  for await (const piece of all) {
    if (last !== undefined && !stream.write(last)) await new Promise((resolve) => stream.once("drain", resolve))
    last = piece
  }
  stream.end(last)
}

const sendPattern = (stream: Duplex, length: number): Promise<void> => sendAll(stream, pieces(length))

const readAll = async (stream: Duplex): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const answer = async (session: Session, stream: Duplex): Promise<void> => {
  let head = Buffer.alloc(0)
  // A plain iterator would destroy the stream, and with it the answer, at the end of what the client sent.
  const iterator = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  while (!head.includes(10)) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const end = head.indexOf(10)
  const [command, first, ...words] = head.subarray(0, end).toString().split(" ")
  const rest = head.subarray(end + 1)
  if (command === "GET") return sendPattern(stream, Number(first))
  if (command === "CLOSE") return void session.close(Number(first), words.join(" "))
  if (command === "PUT") {
    const hash = createHash("sha256")
    for await (const bytes of following(rest, iterator)) hash.update(bytes)
    return void stream.end(hash.digest("hex"))
  }
  return sendAll(stream, following(rest, iterator))
}

async function* following(first: Uint8Array, rest: AsyncIterator<Buffer>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

const serve = async (certificate: string, privateKey: string, idle: string): Promise<void> => {
  const server = quiche.createQuicServer({
    ...shared,
    cert: readFileSync(certificate),
    key: readFileSync(privateKey),
    maxIdleTimeoutMs: Number(idle),
    disableActiveMigration: false,
    disableRetry: process.env["RETRY"] !== "1"
  })
  server.on("error", (error) => say("error", { message: error.message }))
  server.on("session", (session) => {
    say("session")
    session.on("error", (error) => say("error", { message: error.message }))
    session.on("close", (info) => say("closed", info))
    session.on("datagram", (bytes) => session.sendDatagram(bytes))
    session.on("stream", (stream) => {
      stream.on("error", () => {})
      answer(session, stream).catch((error: Error) => say("error", { message: error.message }))
    })
  })
  say("listening", { port: (await server.listen(0, "127.0.0.1")).port })
}

const echo = async (session: Session, length: number): Promise<boolean> => {
  const stream = session.openStream()
  stream.write("ECHO\n")
  const back = readAll(stream)
  await sendPattern(stream, length)
  return (
    createHash("sha256")
      .update(await back)
      .digest("hex") === patternHash(length)
  )
}

const client = async (authority: string, port: string, verb: string, ...rest: ReadonlyArray<string>): Promise<void> => {
  const session = await quiche.connectQuicAsync(`127.0.0.1:${port}`, {
    ...shared,
    ca: readFileSync(authority),
    servername: "localhost",
    maxIdleTimeoutMs: verb === "idle" ? Number(rest[0]) : 30_000
  })
  const closed = new Promise<object>((resolve) => session.on("close", resolve))
  session.on("error", (error) => say("error", { message: error.message }))
  const ask = (line: string): Duplex => {
    const stream = session.openStream()
    stream.on("error", () => {})
    stream.end(line)
    return stream
  }
  const [first, second] = [Number(rest[0]), Number(rest[1])]
  switch (verb) {
    case "get": {
      const hash = createHash("sha256")
      for await (const chunk of ask(`GET ${first}\n`)) hash.update(chunk as Buffer)
      say("done", { ok: hash.digest("hex") === patternHash(first) })
      break
    }
    case "put": {
      const stream = session.openStream()
      stream.write("PUT\n")
      const back = readAll(stream)
      await sendPattern(stream, first)
      say("done", { ok: (await back).toString() === patternHash(first) })
      break
    }
    case "streams": {
      const results = await Promise.all(Array.from({ length: first }, () => echo(session, second)))
      say("done", { ok: results.every(Boolean) })
      break
    }
    case "sequential": {
      let good = 0
      for (let i = 0; i < first; i++) if (await echo(session, second)) good++
      say("done", { ok: good === first })
      break
    }
    case "datagrams": {
      let received = 0
      const waiting = new Set<() => void>()
      session.on("datagram", (bytes) => {
        if (bytes.length === second) received++
        for (const wake of waiting) wake()
      })
      for (let i = 0; i < first; i++) {
        const returned = new Promise<void>((resolve) => {
          waiting.add(resolve)
          setTimeout(resolve, 1000)
        })
        session.sendDatagram(new Uint8Array(second).fill(i))
        await returned
        waiting.clear()
      }
      say("done", { ok: received >= first * 0.95, received })
      break
    }
    case "close":
      await readAll(ask("GET 1\n"))
      await session.close(first, rest[1])
      say("done", { ok: true })
      return
    case "closed":
      ask(`CLOSE ${first} ${rest[1]}\n`)
      say("done", { ok: true, ...(await closed) })
      return
    case "idle":
      await readAll(ask("GET 1\n"))
      await closed
      say("done", { ok: true })
      return
  }
  await session.close(0, "done")
}

await (role === "server" ? serve(args[0]!, args[1]!, args[2]!) : client(args[0]!, args[1]!, args[2]!, ...args.slice(3)))
if (role === "client") process.exit(0)
