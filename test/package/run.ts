/**
 * The package as a new user meets it: packed, installed into an empty folder, and the README's first program run as it
 * stands, on the oldest Node that is supported and on the newest.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const folder = mkdtempSync(path.join(tmpdir(), "effect-mpquic-package-"))

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string => {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 300_000 })
  if (result.status === 0) return result.stdout
  throw new Error(`${command} ${args.join(" ")} ended with ${result.status}\n${result.stdout}\n${result.stderr}`)
}

const expect = (what: string, output: string, part: string): void => {
  if (!output.includes(part)) throw new Error(`${what}: expected "${part}" in\n${output}`)
  console.log(`ok ${what}`)
}

try {
  expect("C17: npx mpquic in a checkout", run(root, "npx", "--yes", "mpquic", "--version"), "mpquic v")
  run(root, "npm", "pack", "--pack-destination", folder)
  const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"))!
  const devNode = path.join(root, "node_modules/.bin/node")
  const { devDependencies } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
  run(folder, "npm", "install", `./${tarball}`, `effect@${devDependencies.effect}`, "--no-audit", "--no-fund")
  const heavy = ["@effect/platform-node", "redis", "undici", "ws"].filter((name) =>
    existsSync(path.join(folder, "node_modules", name))
  )
  expect("only what the library needs is installed", JSON.stringify(heavy), "[]")
  const alone = run(folder, devNode, "-e", 'import("effect-mpquic").then(() => console.log("loaded"))')
  expect("the library loads without the program's packages", alone, "loaded")
  const platform = `@effect/platform-node@${devDependencies["@effect/platform-node"]}`
  run(folder, "npm", "install", platform, "--no-audit", "--no-fund")
  const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(path.join(root, "README.md"), "utf8"))![1]!
  writeFileSync(path.join(folder, "hello.ts"), program)
  for (const version of ["22.19.0", devDependencies.node as string]) {
    run(folder, "npm", "install", "--no-save", `node@${version}`, "--no-audit", "--no-fund")
    const node = path.join(folder, "node_modules/node/bin/node")
    expect(`Node ${version}`, run(folder, node, "--version"), `v${version}`)
    expect(`the README's program on Node ${version}`, run(folder, node, "hello.ts"), "2 paths: hello multipath")
    const cli = path.join(folder, "node_modules/.bin/mpquic")
    expect(`mpquic on Node ${version}`, run(folder, node, cli, "--help"), "serve")
    expect(`the demo on Node ${version}`, run(folder, node, cli, "demo", "--size", "4MB"), '"ok":true')
  }
  const blocked = run(
    folder,
    "node_modules/node/bin/node",
    "-e",
    'import("effect-mpquic/internal/Settings").then(() => console.log("open"), (error) => console.log(error.code))'
  )
  expect("internal modules are closed", blocked, "ERR_PACKAGE_PATH_NOT_EXPORTED")
} finally {
  rmSync(folder, { recursive: true, force: true })
}
