/**
 * Makes docs/api, the API reference, from the docstrings, with TypeDoc. `--check` fails when docs/api is not what they give.
 * TypeDoc reads programs with TypeScript 6, which would stand beside the TypeScript of the project, so both live in a cache
 * folder and are no dependencies of the package.
 */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const TOOLS = ["typedoc@0.28.20", "typedoc-plugin-markdown@4.14.1", "typescript@6.0.3"]

const root = path.resolve(import.meta.dirname, "..")
const cache = path.join(root, ".cache", "typedoc")
const tools = path.join(cache, "node_modules")
const reference = path.join(root, "docs", "api")
const check = process.argv.includes("--check")
const out = check ? path.join(cache, "api") : reference

const options = {
  tsconfig: path.join(root, "tsconfig.build.json"),
  entryPoints: ["src/*.ts", "src/testing/*.ts"].map((glob) => path.join(root, glob)),
  exclude: ["**/index.ts"],

  plugin: [path.join(tools, "typedoc-plugin-markdown/dist/index.js"), path.join(root, "scripts/typedoc-plugin.ts")],
  out,
  name: "effect-mpquic",
  readme: "none",
  gitRevision: "main",
  disableSources: true,
  expandParameters: true,
  excludeInternal: true,
  excludeExternals: true,
  excludePrivate: true,
  // Shapes behind exported names.
  intentionallyNotExported: ["Level", "LaneSetting", "InputField"],
  treatWarningsAsErrors: true,
  outputFileStrategy: "modules",
  hidePageHeader: true,
  indexFormat: "table",
  hideBreadcrumbs: true,
  excludeScopesInPaths: true,
  useCodeBlocks: true,
  parametersFormat: "table",
  interfacePropertiesFormat: "table",
  classPropertiesFormat: "table",
  typeAliasPropertiesFormat: "table",
  tableColumnSettings: {
    hideDefaults: true,
    hideInherited: true,
    hideModifiers: true,
    hideOverrides: true,
    hideSources: true
  }
}

const ensureTools = (): void => {
  const installed = TOOLS.every((tool) => {
    const [name, version] = tool.split("@") as [string, string]
    const manifest = path.join(tools, name, "package.json")
    return fs.existsSync(manifest) && JSON.parse(fs.readFileSync(manifest, "utf8")).version === version
  })
  if (installed) return
  execFileSync("npm", ["install", "--no-save", "--no-package-lock", "--prefix", cache, ...TOOLS], { stdio: "inherit" })
}

fs.mkdirSync(cache, { recursive: true })
ensureTools()
const settings = path.join(cache, "typedoc.json")
fs.writeFileSync(settings, JSON.stringify(options))
const made = spawnSync(process.execPath, [path.join(tools, "typedoc/bin/typedoc"), "--options", settings], {
  cwd: root,
  stdio: "inherit"
})
if (made.status !== 0) process.exit(made.status ?? 1)

if (check) {
  const diff = spawnSync("git", ["diff", "--no-index", "--stat", reference, out], { stdio: "inherit" })
  if (diff.status !== 0) process.stderr.write("docs/api is not what the docstrings give: npm run docs\n")
  process.exitCode = diff.status ?? 1
}
