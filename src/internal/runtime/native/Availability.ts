/**
 * Whether native code may be called here: the first of the conditions, before anything is loaded. What is left is found
 * out by loading (a symbol may be missing) and by the test of `SelfTest.ts`.
 */

/** Architectures whose structure layouts are known. */
const architectures: ReadonlySet<string> = new Set(["x64", "arm64"])

/** What stands in the way, as the end of "not available: ..."; undefined if nothing does. */
export const obstacle = (): string | undefined => {
  if (process.platform !== "linux" || !architectures.has(process.arch)) {
    return `structure layouts are known for Linux on x64 and arm64 only, and this is ${process.platform} on ${process.arch}`
  }
  const permission: { has: (scope: string) => boolean } | undefined = process.permission
  if (permission?.has("ffi") === false) return "the permission model forbids it: start Node with --allow-ffi"
  if (process.getBuiltinModule("node:ffi") === undefined) {
    return `Node ${process.versions.node} has no node:ffi: it takes Node 26 or later, without --no-experimental-ffi`
  }
  return undefined
}
