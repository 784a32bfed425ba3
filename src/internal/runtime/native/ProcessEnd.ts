/**
 * How a process ends that has called native code.
 *
 * When the event loop of a thread has nothing left to do, Node frees what it knows of that thread, and with it what describes
 * the functions of node:ffi to the compiler. A compiler thread that is at work on a caller of such a function then reads
 * freed memory, and the process dies of it. `process.exit()` ends the process without freeing anything. So a process that
 * would end by itself ends by that way instead, after all of its `exit` listeners: with the same exit code, and with nothing
 * of stdout and stderr lost, since the loop had nothing left to do.
 *
 * That is for the main thread. A worker frees its memory however it ends (`Lane.ts` keeps native code out of workers).
 */
import type { EventEmitter } from "node:events"
import { isMainThread } from "node:worker_threads"

type ExitListener = (code: number) => void

/** A process is dying of an error that nobody handles: Node prints it after the `exit` listeners. */
let dying = false

const onFatal = (): void => {
  dying = true
  // Handled after all: then there is something after it.
  queueMicrotask(() => {
    dying = false
  })
}

/**
 * Ends the process as Node would now, without what it does afterwards. It is what `process.exit` calls, which test runners
 * forbid, after the `exit` listeners; others wrap it to have their turn.
 */
const end = (): void => {
  const { reallyExit } = process as { reallyExit?: (code: number | string) => void }
  if (reallyExit === undefined) process.exit()
  else reallyExit.call(process, process.exitCode ?? 0)
}

/**
 * Ends the process of this thread without freeing its memory, when it comes to its end. Call it before the first native function
 * is made. `kept` is held on to until then: functions that are collected are freed as well.
 */
export const endWithoutTearDown = (kept: ReadonlyArray<unknown>): void => {
  if (!isMainThread) return
  const emitter: EventEmitter = process
  const onExit = (code = 0): void => {
    if (dying || kept.length === 0) return
    // Listeners that were added behind this one must not go without their turn.
    const all = process.rawListeners("exit")
    for (const listener of all.slice(all.indexOf(onExit) + 1)) (listener as ExitListener).call(process, code)
    end()
  }
  const onBeforeExit = (): void => {
    process.off("exit", onExit)
    process.on("exit", onExit)
  }
  const own: ReadonlyArray<readonly [event: string, listener: () => void]> = [
    ["uncaughtExceptionMonitor", onFatal],
    ["exit", onExit],
    ["beforeExit", onBeforeExit],
    ["removeListener", () => queueMicrotask(install)]
  ]
  // Applications may remove listeners that are not theirs.
  const install = (): void => {
    for (const [event, listener] of own) {
      if (emitter.listeners(event).includes(listener)) continue
      // In front of listeners that may throw.
      if (event === "beforeExit") emitter.prependListener(event, listener)
      else emitter.on(event, listener)
    }
  }
  install()
}
