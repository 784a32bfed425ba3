/** The program `mpquic` in a network. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Network, Side } from "./Network.ts"
import { PATTERN } from "./pattern.ts"

const entry = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
  /** The last line of standard output, parsed. */
  readonly json: () => any
}

export interface Running {
  readonly finished: Promise<Finished>
  /** Waits until standard output matches. */
  readonly saw: (pattern: RegExp) => Promise<RegExpExecArray>
  readonly kill: (signal: NodeJS.Signals) => void
}

export const start = (network: Network, side: Side, lane: string, args: ReadonlyArray<string>): Running => {
  const started = performance.now()
  const child = network.node(side, lane, [entry, ...args])
  let stdout = ""
  let stderr = ""
  let over = false
  child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()))
  const finished = new Promise<Finished>((resolve) =>
    child.on("close", (code) => {
      over = true
      const json = (): any => JSON.parse(stdout.trimEnd().split("\n").at(-1)!)
      resolve({ code, stdout, stderr, ms: performance.now() - started, json })
    })
  )
  return {
    finished,
    saw: async (pattern) => {
      for (;;) {
        const match = pattern.exec(stdout)
        if (match !== null) return match
        if (over || performance.now() - started > 20_000) throw new Error(`no ${pattern}: ${stdout}${stderr}`)
        await sleep(10)
      }
    },
    kill: (signal) => void child.kill(signal)
  }
}

/** Runs `use` beside a server that gives out `file.bin`, of so many bytes, and clears up. */
export const withServer = async <A>(
  network: Network,
  lane: string,
  bytes: number,
  listen: ReadonlyArray<string>,
  use: (server: { readonly pin: string; readonly out: string; readonly stdout: string }) => Promise<A>
): Promise<A> => {
  const root = mkdtempSync(join(tmpdir(), "mpquic-net-"))
  const out = mkdtempSync(join(tmpdir(), "mpquic-net-"))
  const times = Math.ceil(bytes / PATTERN.length)
  writeFileSync(join(root, "file.bin"), Buffer.concat(Array.from({ length: times }, () => PATTERN)).subarray(0, bytes))
  const server = start(network, "server", lane, ["serve", root, ...listen.flatMap((each) => ["--listen", each])])
  try {
    const match = await server.saw(/^[^]*--pin ([0-9a-f]{64})\n/)
    return await use({ pin: match[1]!, out, stdout: match[0] })
  } finally {
    server.kill("SIGTERM")
    await server.finished
    rmSync(root, { recursive: true, force: true })
    rmSync(out, { recursive: true, force: true })
  }
}

/** `mpquic get` on the client's side. */
export const get = (network: Network, lane: string, ...args: ReadonlyArray<string>): Promise<Finished> =>
  start(network, "client", lane, ["get", "--insecure", ...args]).finished
