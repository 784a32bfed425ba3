/**
 * Starting the benchmark's programs, and what the system says about them.
 */
import { spawn } from "node:child_process"
import type { ChildProcessByStdio } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { createSocket } from "node:dgram"
import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import { fileURLToPath } from "node:url"

type Child = ChildProcessByStdio<Writable, Readable, null>

/** A program and its first arguments. */
export interface Program {
  readonly name: string
  readonly command: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** A JSON line that a program printed. */
export type Result = Readonly<Record<string, unknown>>

/** A path inside this folder's project. */
export const inProject = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** This Node, and a program of the project. */
export const nodeProgram = (name: string, path: string, ...flags: ReadonlyArray<string>): Program => ({
  name,
  command: [process.execPath, "--disable-warning=ExperimentalWarning", ...flags, inProject(path)]
})

/** A program that runs and has printed its first line. */
export interface Running {
  readonly pid: number
  readonly firstLine: string
  /** Closes its standard input, which ends it, and waits for that. */
  readonly stop: () => Promise<void>
  /** Resolves with its last line when it has ended by itself; rejects when it failed. */
  readonly lastLine: Promise<string>
}

/** ms in which a program must begin, and in which it must end when it is told to. */
const START = 20_000
const END = 5000

const start = (
  program: Program,
  args: ReadonlyArray<string>
): { child: Child; first: Promise<string>; last: Promise<string> } => {
  const [command, ...before] = program.command
  const child = spawn(command!, [...before, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...program.env }
  })
  child.stdin.on("error", () => {})
  let line = ""
  const lines = createInterface({ input: child.stdout })
  const exit = once(child, "exit") as Promise<[number | null, string | null]>
  const first = new Promise<string>((resolve, reject) => {
    lines.once("line", resolve)
    exit.then(([code]) => reject(new Error(`${program.name} ended with ${code}`)), reject)
    child.once("error", reject)
  })
  lines.on("line", (each) => {
    line = each
  })
  const last = Promise.all([exit, once(lines, "close")]).then(([[code, signal]]) => {
    if (code !== 0) throw new Error(`${program.name} ended with ${code ?? signal}`)
    return line
  })
  first.catch(() => {})
  last.catch(() => {})
  return { child, first, last }
}

const within = <A>(promise: Promise<A>, ms: number, what: string): Promise<A> => {
  let timer: NodeJS.Timeout
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms / 1000} s`)), ms)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

/** Starts a program that goes on running until its standard input is closed. */
export const run = async (program: Program, args: ReadonlyArray<string>, limit = START): Promise<Running> => {
  const { child, first, last } = start(program, args)
  try {
    const firstLine = await within(first, limit, `the start of ${program.name}`)
    return {
      pid: child.pid!,
      firstLine,
      lastLine: last,
      stop: async () => {
        child.stdin.end()
        await within(last, END, `the end of ${program.name}`).catch(() => child.kill("SIGKILL"))
      }
    }
  } catch (error) {
    child.kill("SIGKILL")
    throw error
  }
}

/** Runs a program to its end and reads its JSON line. */
export const complete = async (program: Program, args: ReadonlyArray<string>, limit: number): Promise<Result> => {
  const { child, last } = start(program, args)
  try {
    return JSON.parse(await within(last, limit, `${program.name} ${args.join(" ")}`)) as Result
  } catch (error) {
    child.kill("SIGKILL")
    throw error
  }
}

/** A UDP port of 127.0.0.1 that nobody has now. */
export const freePort = async (): Promise<number> => {
  const socket = createSocket("udp4").bind(0, "127.0.0.1")
  await once(socket, "listening")
  const { port } = socket.address()
  socket.close()
  return port
}

/** User and system time of a process in seconds, all of its threads; undefined where there is no /proc. */
export const cpuSecondsOf = (pid: number): number | undefined => {
  const path = `/proc/${pid}/stat`
  if (!existsSync(path)) return undefined
  const text = readFileSync(path, "utf8")
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  // Fields 14 and 15 of proc_pid_stat(5), in clock ticks, of which Linux shows 100 a second.
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Resident memory of a process in bytes; undefined where there is no /proc. */
export const residentBytesOf = (pid: number): number | undefined => {
  const path = `/proc/${pid}/status`
  if (!existsSync(path)) return undefined
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(path, "utf8"))
  return line === null ? undefined : Number(line[1]) * 1024
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
