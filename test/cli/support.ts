import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const entry = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** The last line of standard output, parsed. */
  readonly json: () => any
}

export interface Running {
  readonly finished: Promise<Finished>
  /** Resolves when standard output matches; rejects when the program ends before it does. */
  readonly saw: (pattern: RegExp) => Promise<RegExpExecArray>
  readonly kill: (signal: NodeJS.Signals) => void
}

/** A line for a shell that runs the program. */
export const commandOf = (...args: ReadonlyArray<string>): string =>
  [process.execPath, entry, ...args].map((part) => `'${part.replaceAll("'", String.raw`'\''`)}'`).join(" ")

/** Starts the program `mpquic` in a process of its own. */
export const start = (...args: ReadonlyArray<string>): Running => {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  let stdout = ""
  let stderr = ""
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString()
    changed()
  })
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const finished = new Promise<Finished>((resolve) => {
    child.on("close", (code) =>
      resolve({ code, stdout, stderr, json: () => JSON.parse(stdout.trimEnd().split("\n").at(-1)!) })
    )
  })
  return {
    finished,
    saw: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(stdout)
          if (match === null) return
          watchers.delete(look)
          resolve(match)
        }
        watchers.add(look)
        look()
        void finished.then(() => reject(new Error(`it ended without ${pattern}: ${stdout}${stderr}`)))
      }),
    kill: (signal) => void child.kill(signal)
  }
}

export const run = (...args: ReadonlyArray<string>): Promise<Finished> => start(...args).finished

/** A directory for one test file. */
export const makeDirectory = (): { readonly path: string; readonly remove: () => void } => {
  const path = mkdtempSync(join(tmpdir(), "mpquic-test-"))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
