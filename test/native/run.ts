import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a fixture in a process of its own, because it may take the process with it. */
export const run = (
  fixture: string,
  args: ReadonlyArray<string>,
  flags: ReadonlyArray<string> = [],
  env: Record<string, string> = {}
): Promise<Ended> =>
  new Promise((resolve) => {
    const script = fileURLToPath(new URL(`fixtures/${fixture}`, import.meta.url))
    const child = execFile(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", ...flags, script, ...args],
      { env: { ...process.env, MPQUIC_LANE: "", NODE_OPTIONS: "", ...env }, maxBuffer: 2 ** 26 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr })
    )
  })
