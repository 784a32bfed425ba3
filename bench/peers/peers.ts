/**
 * The other stacks: how each program is started, and what must be there for it.
 */
import { existsSync } from "node:fs"
import { inProject, nodeProgram } from "../processes.ts"
import type { Program } from "../processes.ts"

export const CACHE = ".cache/bench"

export interface Peer extends Program {
  readonly name: PeerName
  /** For tables. */
  readonly title: string
  /** Whether it is built or installed. */
  readonly installed: boolean
  /** Bytes of a transfer that takes it a second or more, if not 200 MB. */
  readonly bytes?: number
}

export type PeerName = "quinn" | "noq" | "quiche" | "quic-go" | "tls" | "aioquic"

const binary = (name: PeerName, title: string, path: string, more?: Partial<Peer>): Peer => ({
  name,
  title,
  command: [inProject(`${CACHE}/${path}`)],
  installed: existsSync(inProject(`${CACHE}/${path}`)),
  ...more
})

const python = binary("aioquic", "aioquic 1.7.2 (Python)", "python/bin/python", { bytes: 20_000_000 })

export const peers: ReadonlyArray<Peer> = [
  binary("quinn", "quinn 0.11.12 (Rust)", "target/release/bench-quinn"),
  binary("noq", "noq 1.4.0 (Rust)", "target/release/bench-noq"),
  binary("quic-go", "quic-go 0.65.0 (Go)", "bin/bench-quic-go", { env: { GOMAXPROCS: "1" } }),
  {
    ...nodeProgram("quiche", "bench/peers/quiche.ts"),
    name: "quiche",
    title: "quiche 0.29 in Node (@currentspace/http3 0.9.0, portable)",
    installed: existsSync(inProject(`${CACHE}/node/node_modules/@currentspace/http3/package.json`))
  },
  {
    ...nodeProgram("tls", "bench/peers/tls.ts"),
    name: "tls",
    title: "node:tls over TCP",
    installed: true
  },
  { ...python, command: [...python.command, inProject("bench/peers/python/bench_aioquic.py")] }
]
