/**
 * Effect's diagnostics (floating effects, wall clock, chance). The tool lives in a cache folder: its lock entries are not
 * whole on every platform, so it is no dependency of the package.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import * as path from "node:path"

const VERSION = "0.45.0"
const root = path.resolve(import.meta.dirname, "..")
const cache = path.join(root, ".cache", "effect-tsgo")
const binary = path.join(cache, "node_modules", ".bin", "effect-tsgo")

const run = (command: string, args: ReadonlyArray<string>): number =>
  spawnSync(command, args, { cwd: root, stdio: "inherit" }).status ?? 1

if (!existsSync(binary)) {
  const installed = run("npm", [
    "install",
    "--no-save",
    "--no-package-lock",
    "--prefix",
    cache,
    `@effect/tsgo@${VERSION}`
  ])
  if (installed !== 0) process.exit(installed)
}
process.exit(run(binary, ["diagnostics", "--project", "tsconfig.effect.json", "--format", "text"]))
