/**
 * Builds and installs the other stacks into `.cache/bench`, which is not part of the repository:
 *
 *     node bench/peers/build.ts [quinn noq quic-go quiche aioquic]
 *
 * Needs cargo, go, npm and python3, each only for its own. Runs at the lowest priority. What cannot be built is said at the
 * end, and is then not measured.
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, writeFileSync } from "node:fs"
import { inProject } from "../processes.ts"
import { CACHE, peers } from "./peers.ts"
import type { PeerName } from "./peers.ts"

const at = (path: string): string => inProject(`${CACHE}/${path}`)

/** Runs a command and throws when it fails. */
const run = (folder: string, env: Readonly<Record<string, string>>, ...command: ReadonlyArray<string>): void => {
  mkdirSync(at(folder), { recursive: true })
  console.log(`> ${command.join(" ")}`)
  const { error, status } = spawnSync("nice", ["-n", "19", ...command], {
    cwd: at(folder),
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"]
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${command[0]} ended with ${status}`)
}

/** Sources are copied, so that lock files are written beside the copy. */
const copySources = (folder: string): void =>
  cpSync(inProject(`bench/peers/${folder}`), at(folder), { recursive: true, force: true })

const cargo = (name: "quinn" | "noq"): void => {
  copySources("rust")
  run("rust", { CARGO_TARGET_DIR: at("target") }, "cargo", "build", "--release", "-p", `bench-${name}`)
}

const builders: Readonly<Record<PeerName, () => void>> = {
  quinn: () => cargo("quinn"),
  noq: () => cargo("noq"),
  "quic-go": () => {
    copySources("go")
    run("go", {}, "go", "mod", "tidy")
    run("go", { CGO_ENABLED: "0" }, "go", "build", "-o", at("bin/bench-quic-go"), ".")
  },
  quiche: () => {
    mkdirSync(at("node"), { recursive: true })
    writeFileSync(at("node/package.json"), '{"private":true}\n')
    run("node", {}, "npm", "install", "--no-save", "--no-package-lock", "--no-audit", "@currentspace/http3@0.9.0")
  },
  tls: () => {},
  aioquic: () => {
    run(".", {}, "python3", "-m", "venv", at("python"))
    run(".", {}, at("python/bin/pip"), "install", "--quiet", "aioquic==1.7.2")
  }
}

const wanted = process.argv.slice(2)
const unknown = wanted.find((name) => !peers.some((peer) => peer.name === name))
if (unknown !== undefined) {
  console.error(`There is no ${unknown}; there are ${peers.map((peer) => peer.name).join(", ")}.`)
  process.exit(2)
}
const failures: Array<string> = []
for (const { name } of peers) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  try {
    builders[name]()
  } catch (error) {
    failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
for (const failure of failures) console.error(`not built: ${failure}`)
if (failures.length > 0) process.exitCode = 1
