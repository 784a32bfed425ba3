/** A peer's program as a child process. It says what happens in lines of JSON on its standard output. */
import { Deferred, Effect } from "effect"
import type { Scope } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { createInterface } from "node:readline"

/** One line of a peer's program. `event` says what it is about; the rest depends on it. */
export interface PeerEvent {
  readonly event: string
  readonly [field: string]: unknown
}

/** A peer's program that runs until the scope ends. */
export interface Peer {
  /** The first event of this name, from the beginning on. Fails when the program ends without it. */
  readonly event: (name: string) => Effect.Effect<PeerEvent, Error>
  /** Everything that it has said so far. */
  readonly events: ReadonlyArray<PeerEvent>
  /** Writes a line to its standard input. */
  readonly tell: (line: string) => void
}

const alive = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL")
})

const KEPT = 4000

/** Starts a program and kills it with the scope. */
export const start = (
  command: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } })
      alive.add(child)
      const events: Array<PeerEvent> = []
      const waiting = new Map<string, Deferred.Deferred<PeerEvent, Error>>()
      let ended: Error | undefined
      let complaint = ""
      const end = (how: string): void => {
        alive.delete(child)
        ended ??= new Error(`the peer ended (${how})${complaint === "" ? "" : `: ${complaint.trim()}`}`)
        for (const waiter of waiting.values()) Deferred.doneUnsafe(waiter, Effect.fail(ended))
      }
      child.on("error", (error) => end(error.message))
      child.on("close", (code, signal) => end(signal ?? `code ${code}`))
      child.stdin.on("error", () => {})
      child.stderr.on("data", (bytes: Buffer) => {
        complaint = (complaint + bytes.toString()).slice(-KEPT)
      })
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!line.startsWith("{")) return
        const event = JSON.parse(line) as PeerEvent
        events.push(event)
        const waiter = waiting.get(event.event)
        if (waiter === undefined) return
        waiting.delete(event.event)
        Deferred.doneUnsafe(waiter, Effect.succeed(event))
      })
      const peer: Peer = {
        events,
        event: (name) =>
          Effect.suspend(() => {
            const said = events.find((event) => event.event === name)
            if (said !== undefined) return Effect.succeed(said)
            if (ended !== undefined) return Effect.fail(ended)
            const waiter = waiting.get(name) ?? Deferred.makeUnsafe<PeerEvent, Error>()
            waiting.set(name, waiter)
            return Deferred.await(waiter)
          }),
        tell: (line) => {
          child.stdin.write(`${line}\n`)
        }
      }
      return { peer, child }
    }),
    ({ child }) =>
      Effect.sync(() => {
        child.kill("SIGKILL")
      })
  ).pipe(Effect.map(({ peer }) => peer))

/** Runs a program to its end. Fails with what it said when its exit code is not 0. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd?: string | undefined; readonly env?: Readonly<Record<string, string>> | undefined } = {}
): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "ignore", "pipe"],
      cwd: options.cwd,
      env: { ...process.env, ...options.env }
    })
    alive.add(child)
    let complaint = ""
    child.stderr.on("data", (bytes: Buffer) => {
      complaint = (complaint + bytes.toString()).slice(-KEPT)
    })
    child.on("error", (error) => resume(Effect.fail(error)))
    child.on("close", (code) => {
      alive.delete(child)
      resume(code === 0 ? Effect.void : Effect.fail(new Error(`${command} ended with ${code}: ${complaint.trim()}`)))
    })
    return Effect.sync(() => {
      child.kill("SIGKILL")
    })
  })
