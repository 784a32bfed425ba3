/**
 * What the API reference is made of: every export of the public modules has prose, `@since` and `@category`, every module has a
 * head, and where a field or a parameter is a number the text says of what. Uses the parser and checker of the TypeScript that
 * is installed, so that inherited and re-exported things count too.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { API, SignatureKind, SymbolFlags } from "typescript/unstable/sync"
import type { NodeHandle, Symbol, Type } from "typescript/unstable/sync"

const root = path.resolve(import.meta.dirname, "..")
const src = path.join(root, "src")

const TYPE_DECLARATION = SymbolFlags.Class | SymbolFlags.Interface | SymbolFlags.TypeAlias

/** A name that says its unit, or what is counted. */
const NAME =
  /bytes|packets|datagrams|streams|connections|handshakes|bursts|updates|resets|mistakes|losses|reinjections|negotiations|(?:^|[a-z])(?:id|code|port|count)$/i
/** Words that say what a number is of. */
const WORDS =
  /\b(?:milliseconds|microseconds|seconds?|minutes?|bytes?|megabits|bits|packets|datagrams|frames|streams|paths|connections|handshakes|handlers|mappings|clients|IDs?|probability|fraction|code|alert|port|times|often|many|count(?:s|ed|er)?|number|index|level|seed)\b/i
const UNITS = /\b(?:ms|\d [mµ]?s|[KMGk]B|[MG]bit\/s)\b/

const faults: Array<string> = []
/** Fields are met again in every type that has them. */
const seen = new Set<string>()
let exports = 0

const api = new API({ cwd: root })
const project = api.updateSnapshot({ openProjects: [path.join(root, "tsconfig.build.json")] }).getProjects()[0]!
const { checker, program } = project

/** TypeScript's paths are in small letters where the file system does not tell them from capitals. */
const isOurs = (symbol: Symbol): boolean =>
  symbol.declarations.length > 0 &&
  symbol.declarations.every(({ path: file }) => file.toLowerCase().startsWith(src.toLowerCase()))

const isInternal = (symbol: Symbol): boolean =>
  checker.getJsDocTagsOfSymbol(symbol).some((tag) => tag.name === "internal")

const isPrivate = (declaration: NodeHandle): boolean => /^\s*private /.test(declaration.resolve()?.getText() ?? "")

const proseOf = (symbol: Symbol): string => checker.getDocumentationCommentOfSymbol(symbol).trim()

/** What is left of a type without null and undefined: "number", "Duration", or something that needs no unit. */
const measure = (type: Type | undefined): "number" | "Duration" | undefined => {
  if (type === undefined) return undefined
  const parts = checker
    .typeToString(type)
    .split(" | ")
    .filter((part) => part !== "undefined" && part !== "null" && !part.startsWith('"'))
  if (parts.length === 1 && parts[0] === "number") return "number"
  return parts.length === 1 && /^(?:Duration\.)?(?:Duration|Input)$/.test(parts[0]!) ? "Duration" : undefined
}

/** A number says its unit by its name or in its text; a Duration has one, and says in words what it is. */
const checkMeasure = (where: string, name: string, type: Type | undefined, text: string): void => {
  const kind = measure(type)
  if (kind === undefined) return
  if (kind === "number" && !NAME.test(name) && !WORDS.test(text) && !UNITS.test(text))
    faults.push(`${where}: a number without a unit`)
  if (kind === "Duration" && text === "") faults.push(`${where}: a Duration without prose`)
}

/** Numbers that a function takes: by their names, or by the text of the function. */
const checkParameters = (where: string, type: Type | undefined, text: string): void => {
  if (type === undefined) return
  for (const signature of checker.getSignaturesOfType(type, SignatureKind.Call)) {
    for (const parameter of signature.getParameters()) {
      if (isOurs(parameter))
        checkMeasure(`${where}(${parameter.name})`, parameter.name, checker.getTypeOfSymbol(parameter), text)
    }
  }
}

const checkFields = (where: string, type: Type): void => {
  for (const member of type.isUnionType() ? type.getTypes() : [type]) {
    for (const field of checker.getPropertiesOfType(member)) {
      const declaration = field.declarations[0]
      if (declaration === undefined || !isOurs(field) || isInternal(field)) continue
      const key = `${declaration.path}:${declaration.index}`
      if (seen.has(key) || isPrivate(declaration)) continue
      seen.add(key)
      const of = checker.getTypeOfSymbol(field)
      checkMeasure(`${where}.${field.name}`, field.name, of, proseOf(field))
      checkParameters(`${where}.${field.name}`, of, proseOf(field))
    }
  }
}

const checkExport = (where: string, symbol: Symbol): void => {
  exports++
  const tags = checker.getJsDocTagsOfSymbol(symbol)
  const tag = (name: string) => tags.find((each) => each.name === name)?.text ?? ""
  if (proseOf(symbol) === "") faults.push(`${where}: no prose`)
  if (!/^\d+\.\d+\.\d+$/.test(tag("since"))) faults.push(`${where}: no @since`)
  if (tag("category") === "") faults.push(`${where}: no @category`)
  if ((symbol.flags & TYPE_DECLARATION) !== 0) checkFields(where, checker.getDeclaredTypeOfSymbol(symbol))
  checkParameters(where, checker.getTypeOfSymbol(symbol), proseOf(symbol))
}

const modules = ["src", "src/testing"].flatMap((folder) =>
  fs
    .readdirSync(path.join(root, folder))
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${folder}/${file}`)
)

for (const module of modules) {
  const file = program.getSourceFile(path.join(root, module))!
  const head = /^\/\*\*([\s\S]*?)\*\//.exec(file.text)?.[1] ?? ""
  const isBarrel = module.endsWith("/index.ts")
  for (const tag of isBarrel ? ["@since"] : ["@module", "@since"]) {
    if (!head.includes(tag)) faults.push(`${module}: no ${tag} in its head`)
  }
  const moduleSymbol = checker.getSymbolAtLocation(file)
  if (moduleSymbol === undefined || isBarrel) continue
  for (const symbol of checker.getExportsOfModule(moduleSymbol)) {
    const target = (symbol.flags & SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
    if (!isInternal(target)) checkExport(`${module}: ${symbol.name}`, target)
  }
}
api.close()

for (const fault of faults) process.stderr.write(`${fault}\n`)
process.stdout.write(`${modules.length} modules, ${exports} exports, ${faults.length} faults\n`)
process.exitCode = faults.length === 0 ? 0 : 1
